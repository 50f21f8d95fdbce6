"""Which meta graph each loader takes for a request, what it finds there, what keeps it from
loading that, and its own words where it refuses."""

from __future__ import annotations

from .collisions import Collision, collisions
from .obstacles import Obstacle, obstacles
from .picks import LOADERS, Pick, Said, pick, picks
from .seen import methods, seen

__all__ = [
    "LOADERS", "Collision", "Obstacle", "Pick", "Said", "collisions", "methods", "obstacles",
    "pick", "picks", "seen",
]  # fmt: skip
