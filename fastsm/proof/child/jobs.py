"""What the child can be asked: the name of a job -> module:function."""

from __future__ import annotations

JOBS = {
    "about": "about:about",
    "examine": "examine:examine",
    "compare": "compare:compare",
    "compare_tables": "compare:compare_tables",
    "run": "run:run",
}
