"""What `fastsm convert` is given in the tests: checkpoints with graphs, and frozen graphs.

TensorFlow writes them; one builder for every way in which people have kept a model without a
SavedModel.
"""
from __future__ import annotations

from . import assets, checkpoints, folders, frozen, graphs, refused, savers
from .registry import SOURCES, Source, build

__all__ = [
    "SOURCES", "Source", "assets", "build", "checkpoints", "folders", "frozen", "graphs",
    "refused", "savers",
]  # fmt: skip
