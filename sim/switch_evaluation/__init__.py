"""The evaluation of switches: `python -m sim.evaluate <model> --switch early,mid,late`.

switch_jobs                 which episodes
  |
switch_episode              plays one: its scenario, its counterfactual, then the episode itself
  |- scenario                 layout, tasks, instructions, when they change
  |- counterfactual           the same episode without the switch
  |- recorded_episode         step by step; methods: what ours and the baselines do when the instruction changes
  |- metrics, object_safety   what is measured
  |
switch_report               figures of all episodes; switch_page, switch_films: how they are shown
"""
