"""Stripping: a model with only what serving needs, and every value as it was."""
