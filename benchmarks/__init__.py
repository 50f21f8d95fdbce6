"""Measures fastsm against the tools that do the same work; see README.md beside this file."""
