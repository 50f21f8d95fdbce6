"""Stripping: a model with only what serving needs, and every value as it was.

Of each meta graph: which signatures stay (`signatures`), which objects (`graph.kept`), what
of the graph they need (`graph.reach`), what of the restore code (`graph.restoring`). Only then
come splices, all of them over the model as it was; and of what they make every reference is
followed, before anything is planned to be written.
"""
