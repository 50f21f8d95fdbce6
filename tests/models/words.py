"""The vocabulary that models with a table read."""
from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WORDS = ("the", "quick", "brown", "fox")


@contextmanager
def words_file(out: Path) -> Iterator[Path]:
    """words.txt, one word a line, beside ``out`` until the model is saved."""
    folder = out.with_name(out.name + ".assets")
    folder.mkdir()
    try:
        path = folder / "words.txt"
        path.write_text("".join(f"{word}\n" for word in WORDS))
        yield path
    finally:
        shutil.rmtree(folder)
