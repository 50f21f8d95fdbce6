"""The edits: each a function from a draft and a request. None writes to a disk."""
