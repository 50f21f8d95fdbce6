"""Building a model of tests.models in the fork."""
from __future__ import annotations

import os

import tensorflow as tf

from .. import models


def build(name: str, path: str) -> None:
    """Builds from within the parent folder, so that no graph holds an absolute path."""
    parent, base = os.path.split(path)
    os.chdir(parent)
    models.build(name, base, tf=tf)
