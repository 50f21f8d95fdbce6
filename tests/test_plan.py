"""The plan: splices against a naive model on bytes, and what counts as a change."""
from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastsm.errors import InternalError, RefusedError
from fastsm.plan import Deferred, Plan, Rewrite, pieces, same, whole_file
from fastsm.source import PATCH, File, Source, from_bytes, pack_pieces


def content(source: Source) -> bytes:
    return source.read(0, source.size)


def varint(n: int, width: int = 0) -> bytes:
    """n as a varint, padded to at least ``width`` bytes."""
    out = bytearray()
    while n > 0x7F or len(out) + 1 < width:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


# --- the naive model: a tree of fields that is written out again after each edit ---------


class Node:
    """A length-delimited field: text and fields in turn, beginning and ending with text."""

    def __init__(self, width: int, texts: list[bytes], children: list[Node]) -> None:
        self.width = width  # of its length varint; 0: minimal
        self.texts = texts
        self.children = children

    def payload(self) -> bytes:
        out = self.texts[0]
        for child, text in zip(self.children, self.texts[1:], strict=True):
            body = child.payload()
            out += b"\x0a" + varint(len(body), child.width) + body + text
        return out

    def slots(self, start: int = 0, within: tuple = ()) -> list:
        """(offset, node, index, within) of every text."""
        out = [(start, self, 0, within)]
        at = start + len(self.texts[0])
        for i, child in enumerate(self.children):
            size = len(child.payload())
            head = len(varint(size, child.width))
            field = (at + 1, at + 1 + head, at + 1 + head + size)
            out += child.slots(field[1], (*within, field))
            at = field[2]
            out.append((at, self, i + 1, within))
            at += len(self.texts[i + 1])
        return out

    def mark(self) -> None:
        self.before = len(self.payload())
        for child in self.children:
            child.mark()

    def settle(self) -> None:
        """A length that changed is minimal from now on."""
        for child in self.children:
            child.settle()
        if len(self.payload()) != self.before:
            self.width = 0


texts = st.one_of(st.binary(max_size=6), st.integers(120, 135).map(lambda n: b"t" * n))


def nodes(depth: int) -> st.SearchStrategy[Node]:
    children = st.lists(nodes(depth - 1), max_size=3) if depth else st.just([])
    return st.builds(
        lambda width, children, fill: Node(width, fill[: len(children) + 1], children),
        st.sampled_from([0, 0, 0, 2, 5, 10]),
        children,
        st.lists(texts, min_size=4, max_size=4),
    )


@st.composite
def splices(draw: st.DrawFn, root: Node) -> list:
    """Edits that do not overlap; applied to the tree, returned as calls in any order."""
    calls = []
    root.mark()
    for offset, node, index, within in root.slots():
        text = node.texts[index]
        cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3, unique=True)))
        out, at = b"", 0
        for cut, stop in zip(cuts, cuts[1:] + [len(text)], strict=False):
            end = draw(st.integers(cut, stop))
            data = draw(texts)
            calls.append((offset + cut, offset + end, data, within))
            out += text[at:cut] + data
            at = end
        node.texts[index] = out + text[at:]
    root.settle()
    return draw(st.permutations(calls)) if draw(st.booleans()) else calls


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plan") / "file"


def check_table(source: Source) -> None:
    """A table is flat, merged, and its patch holds nothing that is not used."""
    rows = list(pieces(source))
    assert sum(length for _, length, _, _ in rows) == source.size
    assert sum(n for _, n, _, fd in rows if fd == PATCH) == len(source.patch)
    for (_, length, origin, fd), (_, _, next_origin, next_fd) in pairwise(rows):
        assert (fd, origin + length) != (next_fd, next_origin)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), root=nodes(3), as_file=st.booleans())
def test_rewrite_does_what_writing_the_tree_again_does(
    scratch: Path, data: st.DataObject, root: Node, as_file: bool
) -> None:
    if as_file:
        scratch.unlink(missing_ok=True)
        scratch.write_bytes(root.payload())
        source = File(str(scratch)).source()
    else:
        source = from_bytes(root.payload())
    base = source
    for _ in range(data.draw(st.integers(1, 3))):
        rewrite = Rewrite(source)
        for call in data.draw(splices(root)):
            rewrite.replace(*call)
        source = rewrite.source()
        assert content(source) == root.payload()
        check_table(source)
        assert content(rewrite.source()) == content(source)
    assert same(base, source) == (content(base) == content(source))


def test_no_splices_give_the_source_itself() -> None:
    source = from_bytes(b"abc")
    assert Rewrite(source).source() is source


@pytest.mark.parametrize("depth", [1, 2, 99])
def test_a_length_that_grows_by_a_byte_grows_its_parents(depth: int) -> None:
    leaf = node = Node(0, [b"x"], [])
    for _ in range(depth):
        node = Node(0, [b"", b"y" * 20], [node])
    source = from_bytes(node.payload())
    at, within = next((at, within) for at, owner, _, within in node.slots() if owner is leaf)
    assert len(within) == depth
    rewrite = Rewrite(source)
    rewrite.replace(at, at + 1, b"z" * 128, within)
    leaf.texts[0] = b"z" * 128
    assert content(rewrite.source()) == node.payload()


def test_127_to_128_bytes_and_back() -> None:
    before = b"\x0a\x7f" + b"a" * 127
    grow = Rewrite(from_bytes(before))
    grow.replace(129, 129, b"b", [(1, 2, 129)])
    after = grow.source()
    assert content(after) == b"\x0a\x80\x01" + b"a" * 127 + b"b"
    shrink = Rewrite(after)
    shrink.replace(130, 131, b"", [(1, 3, 131)])
    assert content(shrink.source()) == before


def test_a_length_that_stays_keeps_its_encoding() -> None:
    before = b"\x0a\x83\x80\x00abc"
    rewrite = Rewrite(from_bytes(before))
    rewrite.replace(4, 5, b"A", [(1, 4, 7)])
    assert content(rewrite.source()) == b"\x0a\x83\x80\x00Abc"
    rewrite.replace(5, 6, b"", [(1, 4, 7)])
    assert content(rewrite.source()) == b"\x0a\x02Ac"


def test_insertions_at_one_offset_keep_their_order_and_their_field() -> None:
    rewrite = Rewrite(from_bytes(b"\x0a\x01x"))
    rewrite.replace(3, 3, b"1")
    rewrite.replace(3, 3, b"2")
    rewrite.replace(3, 3, b"a", [(1, 2, 3)])
    rewrite.replace(3, 3, b"b", [(1, 2, 3)])
    assert content(rewrite.source()) == b"\x0a\x03xab12"


@pytest.mark.parametrize(
    ("first", "second"),
    [((2, 5), (4, 6)), ((4, 6), (2, 5)), ((2, 5), (3, 3)), ((2, 5), (2, 5))],
)
def test_overlapping_splices_are_our_bug(first: tuple, second: tuple) -> None:
    rewrite = Rewrite(from_bytes(b"0123456789"))
    rewrite.replace(*first, b"x")
    rewrite.replace(*second, b"y")
    with pytest.raises(InternalError, match="overlap"):
        rewrite.source()


def test_a_splice_over_a_field_that_changes_inside_overlaps() -> None:
    rewrite = Rewrite(from_bytes(b"\x0a\x03abc"))
    rewrite.replace(3, 4, b"", [(1, 2, 5)])
    rewrite.replace(0, 2, b"")
    with pytest.raises(InternalError, match="overlap"):
        rewrite.source()


@pytest.mark.parametrize(
    ("start", "end", "within"),
    [
        (5, 4, ()),
        (8, 11, ()),
        (0, 3, [(1, 2, 5)]),
        (4, 6, [(1, 2, 5)]),
        (3, 4, [(1, 2, 5), (0, 2, 4)]),
        (3, 4, [(1, 2, 5), (2, 3, 6)]),
        (3, 4, [(2, 2, 5)]),
    ],
)
def test_splices_outside_their_fields_are_our_bug(start: int, end: int, within: list) -> None:
    with pytest.raises(InternalError):
        Rewrite(from_bytes(b"0123456789")).replace(start, end, b"", within)


def test_a_hundred_edits_cost_no_more_than_one(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\x0a\x05hello" + b"." * 1000)
    source = base = File(str(path)).source()
    for i in range(100):
        rewrite = Rewrite(source)
        end = source.size - 1000
        rewrite.replace(2, end, b"grown" * (i % 7), [(1, 2, end)])
        source = rewrite.source()
    check_table(source)
    assert len(source) == 3
    rewrite = Rewrite(source)
    rewrite.replace(2, source.size - 1000, b"hello", [(1, 2, source.size - 1000)])
    assert same(rewrite.source(), base)


def test_pieces_of_several_files(tmp_path: Path) -> None:
    files = []
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode() * 10)
        files.append(File(str(tmp_path / name)))
    table = pack_pieces([(0, 10, 0, files[0].fd), (10, 10, 0, files[1].fd)])
    source = Source(table, b"", tuple(files))
    del files
    rewrite = Rewrite(source)
    rewrite.replace(5, 15, b"--")
    out = rewrite.source()
    del source, rewrite
    assert content(out) == b"aaaaa--bbbbb"


# --- the plan ---------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"old bytes")
    return folder


def opened(plan: Plan, name: str) -> Source:
    file = File(os.path.join(plan.folder, name))
    plan.read(name, file)
    return file.source()


def edited(source: Source, start: int, end: int, data: bytes) -> Source:
    rewrite = Rewrite(source)
    rewrite.replace(start, end, data)
    return rewrite.source()


def test_what_changes_nothing_is_not_in_the_plan(model: Path) -> None:
    plan = Plan(str(model))
    source = opened(plan, "saved_model.pb")
    plan.write("saved_model.pb", source)
    assert plan.empty
    plan.write("saved_model.pb", edited(source, 0, 3, b"old"))
    assert plan.empty
    plan.write("saved_model.pb", edited(source, 0, 3, b"new"))
    assert not plan.empty
    plan.write("saved_model.pb", source)
    assert plan.empty


def test_changes_say_sizes_and_untouched_runs(model: Path) -> None:
    plan = Plan(str(model))
    source = opened(plan, "saved_model.pb")
    plan.write("saved_model.pb", edited(source, 4, 5, b"long "))
    plan.write("fingerprint.pb", Deferred(lambda _: (b"", None)))
    plan.remove("assets/vocab.txt")
    gone, later, pb = plan.changes()
    assert (gone.name, gone.before, gone.after) == ("assets/vocab.txt", None, None)
    assert (later.name, later.before, later.after) == ("fingerprint.pb", None, None)
    assert (pb.before, pb.after, list(pb.untouched())) == (9, 13, [(0, 0, 4), (5, 9, 4)])
    assert list(gone.untouched()) == []


def test_links_in_the_path_are_resolved_once(model: Path) -> None:
    link = model.parent / "link"
    link.symlink_to(model)
    plan = Plan(str(link))
    assert (plan.path, plan.folder) == (str(link), str(model))
    assert (plan.device, plan.inode) == (model.stat().st_dev, model.stat().st_ino)


def test_one_name_cannot_be_two_files(model: Path) -> None:
    plan = Plan(str(model))
    opened(plan, "saved_model.pb")
    opened(plan, "saved_model.pb")
    (model / "new").write_bytes(b"other")
    os.replace(model / "new", model / "saved_model.pb")
    with pytest.raises(RefusedError, match=r"saved_model\.pb changed since it was opened"):
        opened(plan, "saved_model.pb")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".", "a\0b"])
def test_names_outside_the_model_are_our_bug(model: Path, name: str) -> None:
    with pytest.raises(InternalError):
        Plan(str(model)).remove(name)


def test_a_saved_model_is_not_grown_past_what_tensorflow_loads(model: Path) -> None:
    def sized(n: int) -> Source:
        path = model / f"sparse{n}"
        path.touch()
        os.truncate(path, n)
        return File(str(path)).source()

    limit = 2**31 - 1
    plan = Plan(str(model))
    opened(plan, "saved_model.pb")
    plan.write("saved_model.pb", sized(limit))
    with pytest.raises(RefusedError, match="2,147,483,648 bytes"):
        plan.write("saved_model.pb", sized(limit + 1))
    plan.write("variables/variables.index", sized(limit + 1))

    os.truncate(model / "saved_model.pb", limit + 10)
    plan = Plan(str(model))
    opened(plan, "saved_model.pb")
    plan.write("saved_model.pb", sized(limit + 9))
    with pytest.raises(RefusedError):
        plan.write("saved_model.pb", sized(limit + 11))


def test_whole_files_are_recognised(model: Path) -> None:
    file = File(str(model / "saved_model.pb"))
    assert whole_file(file.source()) is file
    assert whole_file(edited(file.source(), 0, 1, b"")) is None
    assert whole_file(edited(file.source(), 0, 1, b"O")) is None
    assert whole_file(from_bytes(b"old bytes")) is None
    (model / "empty").touch()
    empty = File(str(model / "empty"))
    assert whole_file(empty.source()) is empty
