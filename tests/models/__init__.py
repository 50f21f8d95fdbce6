"""Models that TensorFlow writes for the tests: one builder for every oddity.

    python -m tests.models OUT [NAME...]

builds them (all, without a name) into OUT/NAME.
"""
from __future__ import annotations

from . import edited, keras_models, savers, tf1, tf2, training, variables
from .registry import MODELS, Model, build

__all__ = [
    "MODELS", "Model", "build", "edited", "keras_models", "savers", "tf1", "tf2", "training",
    "variables",
]  # fmt: skip
