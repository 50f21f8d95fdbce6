"""What the tools generate from TensorFlow is what stands in the tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"


@pytest.mark.tensorflow
def test_the_ops_of_this_release_are_known() -> None:
    """The table of ops by release comes from wheels; of one it can be asked."""
    tool = str(TOOLS / "gen_op_releases.py")
    run = subprocess.run(
        [sys.executable, tool, "--installed"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "tool", ["gen_schema.py", "gen_op_types.py", "gen_op_facts.py"]
)
def test_generated_files_are_fresh(tool: str) -> None:
    run = subprocess.run(
        [sys.executable, str(TOOLS / tool), "--check"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
