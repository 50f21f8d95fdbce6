"""`fastsm.verify`: whether a model or a checkpoint is what was saved, and all of it; `fastsm.lint`:
what will bite in a model that is.

Rules and their ids stand in `rules`; `report` holds what was found. `table` looks at the
index, `entries` at what it says, `tensors` at the bytes, `model` at saved_model.pb and at
what must agree with it, `verify` calls them in turn. `lint` calls these and its own: `lint_names`
and `lint_signatures` of what is asked for, `lint_graph` of the nodes, `lint_files` of the folder.
"""
