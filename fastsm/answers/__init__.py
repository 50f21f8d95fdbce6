"""The four questions that people have about a SavedModel, answered for one: tags, signatures,
assets, and what it is beside a Saver checkpoint."""
