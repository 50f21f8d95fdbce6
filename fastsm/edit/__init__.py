"""The edits: each a function from a model and a request to a plan. None touches a disk."""
