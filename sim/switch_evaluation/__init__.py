"""The evaluation of switches: `python -m sim.evaluate <model> --switch early,mid,late`.

switch_jobs -> scenario -> switch_episode -> metrics, object_safety     plan, draw, play and measure an episode
                                 |
                           stage, methods      one episode; what each method does when the instruction changes

switch_report -> switch_page, switch_films     figures of all episodes, and how they are shown
"""
