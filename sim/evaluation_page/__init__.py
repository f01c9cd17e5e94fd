"""The page of an evaluation: one folder that opens from disk and loads nothing from elsewhere.

records, report    what was played, and the figures of it
  |- view            headings, figures, charts and tables, by the kind of evaluation
  |- row             one line for each episode, and which are filmed
  |- curve_files     what happened in each, step by step: scripts that the page loads when an episode is opened
  |
page               index.html with its script and style inside, beside videos/ and curves/
"""
