"""Any environment of Gymnasium whose actions are numbers, as a world: `gym:<id>`. See docs/gym.md."""
