"""Meta-World (Yu et al. 2019): fifty tasks of a Sawyer arm, each in a scene of its own. See docs/metaworld.md."""
