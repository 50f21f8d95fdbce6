"""The variables of a model: variables.index and its shards."""
