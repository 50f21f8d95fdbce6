"""What tag sets of a model have that nobody can have meant: two alike, a tag given twice, the
letters of a word."""

from __future__ import annotations

from ..text import Record, listed, tag_set

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..model import SavedModel

#: Words whose letters people gave as tags by writing tags="serve" where a list belongs.
WORDS = ("serve", "train", "eval", "gpu", "tpu")


class Collision(Record):
    """One oddity of the tags of a meta graph.

    Attributes:
        kind: "shadowed": no loader finds it, another with the same set comes first.
            "repeated": a tag is listed more than once, which no loader minds. "letters": the
            tags are the letters of a word, or may be.
        meta_graph: Its position.
        by: Of a shadowed one the position of the other.
        word: Of letters the word, where it is one of WORDS.
        words: What it is, in a sentence.
    """

    __slots__ = ("kind", "meta_graph", "by", "word", "words")

    def __init__(
        self,
        kind: str,
        meta_graph: int,
        words: str,
        *,
        by: int | None = None,
        word: str | None = None,
    ) -> None:
        self.kind, self.meta_graph, self.words = kind, meta_graph, words
        self.by, self.word = by, word


def letters_of(tags: Iterable[str]) -> bool:
    """Whether tags look like the letters of a word."""
    names = set(tags)
    return len(names) > 1 and all(len(tag) == 1 for tag in names)


def word_of(tags: Iterable[str]) -> str | None:
    """Which word tags are the letters of, where it is one of WORDS."""
    names = set(tags)
    return next((word for word in WORDS if set(word) == names), None)


def collisions(model: SavedModel) -> list[Collision]:
    """The oddities of the tags of a model, in the order of its meta graphs."""
    return list(_collisions(model))


def _collisions(model: SavedModel) -> Iterator[Collision]:
    first: dict[frozenset[str], int] = {}
    for graph in model.meta_graphs:
        tags, i = graph.tag_set, graph.index
        other = first.setdefault(tags, i)
        if other != i:
            words = f"no loader finds it: meta_graphs[{other}] has the same tags and comes first"
            yield Collision("shadowed", i, words, by=other)
        if len(graph.tags) > len(tags):
            seen: set[str] = set()
            twice = {t for t in graph.tags if t in seen or seen.add(t)}  # type: ignore[func-returns-value]
            names = listed(sorted(twice))
            yield Collision("repeated", i, f"listed more than once: {names}; no loader minds")
        if letters_of(tags):
            word = word_of(tags)
            what = f'the word "{word}"' if word else "a word"
            words = f"{tag_set(tags)} are the letters of {what}: a string where a list belongs"
            yield Collision("letters", i, words, word=word)
