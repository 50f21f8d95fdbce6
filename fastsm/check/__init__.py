"""`fastsm.verify`: whether a model or a checkpoint is what was saved, and all of it.

Rules and their ids stand in `rules`; `report` holds what was found. `table` looks at the
index, `entries` at what it says, `tensors` at the bytes, `model` at saved_model.pb and at
what must agree with it, `verify` calls them in turn.
"""
