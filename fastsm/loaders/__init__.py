"""Which meta graph each loader takes for a request, what it finds there, what keeps it from
loading that, and its own words where it refuses."""

from __future__ import annotations

from .collisions import Collision, collisions
from .feeds import unfed
from .obstacles import NEEDS_KERAS_2, Obstacle, is_pattern, obstacles, slots
from .picks import LOADERS, Pick, Said, pick, picks
from .seen import methods, seen

__all__ = [
    "LOADERS", "NEEDS_KERAS_2", "Collision", "Obstacle", "Pick", "Said", "collisions", "is_pattern",
    "methods", "obstacles", "pick", "picks", "seen", "slots", "unfed",
]  # fmt: skip
