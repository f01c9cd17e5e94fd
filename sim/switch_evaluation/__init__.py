"""The evaluation of a change of mind: `python -m sim.evaluate <model> --switch early,mid,late`.

jobs ---> stage ---> methods    what is said when; an episode and its twin; ours, and what others do
  |         |
  v         v
records   measures              what is measured of one switch
  |
  v
report -> page, film            figures of all, and how they are shown
"""
