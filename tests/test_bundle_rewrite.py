"""Checkpoints written anew: byte for byte where nothing changes, TensorFlow's word elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

import fastsm
from fastsm import _core
from fastsm.bundle import dense as dense_module
from fastsm.bundle.opened import Bundle
from fastsm.bundle.rewrite import BundleRewrite, Rewritten
from fastsm.commit import commit
from fastsm.plan import Plan, whole_file
from fastsm.source import from_bytes, joined

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RANKER = EXAMPLES / "ranker" / "1" / "variables" / "variables"


def write(bundle: Bundle, new: Rewritten, folder: Path) -> Path:
    """The new checkpoint in an absent folder; its prefix."""
    plan = Plan(bundle.folder)
    new.put(plan, "")
    commit(plan, out=str(folder), sync=False, check=new.check)
    return folder / Path(bundle.prefix).name


def rewritten(prefix: Path, ask: Callable[[BundleRewrite], object], folder: Path) -> Path:
    bundle = Bundle.open(str(prefix))
    rewrite = BundleRewrite(bundle)
    ask(rewrite)
    return write(bundle, rewrite.result(), folder)


def stored(prefix: Path) -> dict[bytes, bytes]:
    bundle = Bundle.open(str(prefix))
    out = {}
    for row, key in enumerate(bundle.index.keys()):
        _, _, shard, offset, size, _, n_slices = bundle.index.entry(row)
        if not n_slices:
            out[key] = bundle.shard(shard).source().read(offset, size)
    return out


def files(prefix: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(prefix.parent.glob(prefix.name + ".*"))}


def check_kept_whole(prefix: Path) -> None:
    """Nothing asked, nothing changed; and the index written anew is the old one."""
    bundle = Bundle.open(str(prefix))
    rewrite = BundleRewrite(bundle)
    rewrite.check_kept()
    new = rewrite.result()
    assert not new.index_changes and not new.shards and not new.gone
    sizes = [(s, bundle.shard(s).identity.size) for s in sorted(bundle.index.shards())]
    layout = _core.Layout(bundle.index, b"\1" * len(bundle.index), sizes)
    anew = layout.write()
    data = Path(bundle.index_file.path).read_bytes()
    back = _core.BundleIndex(from_bytes(anew))
    assert back.keys() == bundle.index.keys()
    assert [back.value(i) for i in range(len(back))] == [
        bundle.index.value(i) for i in range(len(back))
    ]
    # TensorFlow has not compressed its blocks for long: an older index is not the same bytes.
    assert anew == data or is_compressed(data)


def is_compressed(index: bytes) -> bool:
    return any(index[at] == 1 for at in block_types(index))


def block_types(index: bytes) -> Iterator[int]:
    """Where each data block's type byte is, by the offsets in the index block."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = index[at]
            value |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if byte < 0x80:
                return value, at

    at = len(index) - 48
    values = []
    for _ in range(4):
        value, at = varint(at)
        values.append(value)
    at, end = values[2], values[2] + values[3]
    end -= 4 + 4 * int.from_bytes(index[end - 4 : end], "little")
    while at < end:
        _, at = varint(at)
        fresh, at = varint(at)
        _, at = varint(at)
        at += fresh
        offset, at = varint(at)
        size, at = varint(at)
        yield offset + size


@pytest.mark.parametrize("name", MODELS)
def test_every_model_kept_whole_is_the_same(name: str, model: ModelFactory) -> None:
    prefix = model(name) / "variables" / "variables"
    if prefix.with_name("variables.index").exists():
        check_kept_whole(prefix)


def test_every_corpus_model_kept_whole_is_the_same(corpus_model: CorpusEntry) -> None:
    prefix = corpus_model.path / "variables" / "variables"
    if prefix.with_name("variables.index").exists():
        check_kept_whole(prefix)


def test_every_corpus_checkpoint_kept_whole_is_the_same(corpus_checkpoint: CorpusEntry) -> None:
    if Path(f"{corpus_checkpoint.path}.index").exists():
        check_kept_whole(corpus_checkpoint.path)


# -- some of the keys --


def test_a_subset_keeps_its_bytes_and_order(tmp_path: Path) -> None:
    before = stored(RANKER)
    dice = Random(3)
    for n in range(20):
        wanted = {key for key in before if dice.random() < 0.5}
        prefix = rewritten(
            RANKER, lambda r, w=wanted: r.keep_only(w.__contains__), tmp_path / str(n)
        )
        assert stored(prefix) == {key: before[key] for key in wanted}
        bundle = Bundle.open(str(prefix))
        BundleRewrite(bundle).check_kept()
        places = [bundle.index.entry(i)[3:5] for i in range(len(bundle.index))]
        size = Path(bundle.shard_path(0)).stat().st_size
        assert sum(size for _, size in set(places)) == size  # end to end


@pytest.mark.parametrize("name", ["dtypes", "shards", "partitioned", "tensor_list"])
def test_tensorflow_reads_a_subset(
    name: str, model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    prefix = model(name) / "variables" / "variables"
    before = oracle.tensors(prefix)
    keys = sorted(k for k in before if k != "_CHECKPOINTABLE_OBJECT_GRAPH")
    for i in range(0, len(keys), 4):
        kept = {key.encode() for key in keys[: i + 1]}
        new = rewritten(prefix, lambda r, k=kept: r.keep_only(k.__contains__), tmp_path / str(i))
        assert oracle.tensors(new) == {k: v for k, v in before.items() if k.encode() in kept}


def test_a_shard_that_is_empty_goes_and_the_others_are_renamed(
    model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    prefix = model("shards") / "variables" / "variables"
    bundle = Bundle.open(str(prefix))
    rewrite = BundleRewrite(bundle)
    rewrite.drop([b"wide/.ATTRIBUTES/VARIABLE_VALUE"])
    new = rewrite.result()
    assert bundle.n_shards == 4
    left = len(files(write(bundle, new, tmp_path / "out"))) - 1
    assert left < 4
    # A shard that only gets another name is not copied.
    assert any(whole_file(source) for source in new.shards.values())
    before = oracle.tensors(prefix)
    del before["wide/.ATTRIBUTES/VARIABLE_VALUE"]
    assert oracle.tensors(tmp_path / "out" / "variables") == before


def test_all_gone_leaves_a_checkpoint_without_tensors(tmp_path: Path) -> None:
    prefix = rewritten(RANKER, lambda r: r.keep_only(lambda key: False), tmp_path / "out")
    assert {n: len(d) for n, d in files(prefix).items() if "data" in n} == {
        "variables.data-00000-of-00001": 0
    }
    assert len(Bundle.open(str(prefix)).index) == 0


# -- merged, put together --


@pytest.mark.parametrize("name", ["shards", "partitioned", "dtypes"])
def test_merged_shards_hold_the_same(
    name: str, model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    prefix = model(name) / "variables" / "variables"
    new = rewritten(prefix, lambda r: r.merge_shards(), tmp_path / "out")
    assert len(files(new)) == 2
    assert oracle.tensors(new) == oracle.tensors(prefix)


def make_all_dense(rewrite: BundleRewrite) -> None:
    index = rewrite.bundle.index
    for row in range(len(index)):
        if index.entry(row)[6]:
            rewrite.make_dense(index.key(row))


@pytest.mark.parametrize("small", [0, dense_module.SMALL])
@pytest.mark.parametrize("name", ["shards", "partitioned"])
def test_slices_put_together_are_the_tensor(
    name: str, small: int, model: ModelFactory, tmp_path: Path, oracle: Oracle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(dense_module, "SMALL", small)
    prefix = model(name) / "variables" / "variables"
    new = rewritten(prefix, make_all_dense, tmp_path / "out")
    assert oracle.tensors(new) == oracle.tensors(prefix)
    bundle = Bundle.open(str(new))
    assert not any(bundle.index.entry(i)[6] for i in range(len(bundle.index)))
    keys = bundle.index.keys()
    assert not any(key.startswith(b"\0") for key in keys)
    BundleRewrite(bundle).check_kept()


def test_slices_end_to_end_are_put_together_in_the_index_alone(
    model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    prefix = model("partitioned") / "variables" / "variables"
    bundle = Bundle.open(str(prefix))
    rewrite = BundleRewrite(bundle)
    rewrite.make_dense("by_row")
    new = rewrite.result()
    assert new.index_changes and not new.shards
    assert oracle.tensors(write(bundle, new, tmp_path / "out")) == oracle.tensors(prefix)


def test_slices_of_half_become_readable(
    model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    """TensorFlow writes them and cannot read them back."""
    key = "wide/.ATTRIBUTES/VARIABLE_VALUE"
    prefix = model("sliced_half") / "variables" / "variables"
    assert oracle.tensors(prefix)[key].sha256 == ""
    new = rewritten(prefix, make_all_dense, tmp_path / "out")
    tensor = oracle.tensors(new)[key]
    assert (tensor.dtype, tensor.shape) == ("float16", (30, 8)) and tensor.sha256


# -- bytes replaced and added --


def test_a_replaced_tensor_moves_what_lies_behind_it(
    model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    prefix = model("shards") / "variables" / "variables"
    key = "_CHECKPOINTABLE_OBJECT_GRAPH"
    bundle = Bundle.open(str(prefix))
    graph = stored(prefix)[key.encode()]
    elements = _core.string_elements(from_bytes(graph), 0, len(graph), 1)
    # An unknown field behind the message: TensorFlow reads past it.
    data, masked = _core.encode_strings([elements[0] + _core.delimited(99, b"x" * 5000)])
    rewrite = BundleRewrite(bundle)
    rewrite.replace(key, data, _core.crc32c_unmask(masked))
    new = rewrite.result()
    assert len(new.shards) == 1  # the others are not touched
    after = oracle.tensors(write(bundle, new, tmp_path / "out"))
    before = oracle.tensors(prefix)
    assert after.pop(key) != before.pop(key) and after == before
    BundleRewrite(Bundle.open(str(tmp_path / "out" / "variables"))).check_kept()


def test_of_several_contents_of_a_tensor_the_last_is_written(model: ModelFactory) -> None:
    prefix = model("shards") / "variables" / "variables"
    key = "_CHECKPOINTABLE_OBJECT_GRAPH"
    original = stored(prefix)[key.encode()]
    (element,) = _core.string_elements(from_bytes(original), 0, len(original), 1)
    rewrite = BundleRewrite(Bundle.open(str(prefix)))
    for message in (element + _core.delimited(99, b"x" * 5000), element):
        data, masked = _core.encode_strings([message])
        rewrite.replace(key, data, _core.crc32c_unmask(masked))
    new = rewrite.result()
    assert new.bytes_after == new.bytes_before
    index = prefix.with_suffix(".index").read_bytes()
    assert new.index.read(0, new.index.size) == index


def test_an_added_tensor_is_read(tmp_path: Path, oracle: Oracle) -> None:
    def ask(rewrite: BundleRewrite) -> None:
        rewrite.add("new/a", 1, (2, 3), bytes(24))
        rewrite.add("zz", 3, (), b"\7\0\0\0")
        rewrite.add("empty", 1, (0, 4), b"")

    after = oracle.tensors(rewritten(RANKER, ask, tmp_path / "out"))
    before = oracle.tensors(RANKER)
    new = {key: after.pop(key) for key in ("new/a", "zz", "empty")}
    assert after == before
    assert {k: (t.dtype, t.shape) for k, t in new.items()} == {
        "new/a": ("float32", (2, 3)), "zz": ("int32", ()), "empty": ("float32", (0, 4)),
    }  # fmt: skip


def test_strings_are_encoded_as_tensorflow_encodes_them(model: ModelFactory) -> None:
    bundle = Bundle.open(str(model("dtypes") / "variables" / "variables"))
    n_seen = 0
    for row in range(len(bundle.index)):
        dtype, shape, shard, offset, size, crc, _ = bundle.index.entry(row)
        if dtype != 7 or shape is None:
            continue
        n = 1
        for dim in shape:
            n *= dim
        source = bundle.shard(shard).source()
        elements = _core.string_elements(source, offset, size, n)
        assert _core.encode_strings(elements) == (source.read(offset, size), crc)
        n_seen += 1
    assert n_seen >= 2


# -- what is wrong --


def test_unknown_keys_and_damage(tmp_path: Path) -> None:
    shutil.copytree(RANKER.parent, tmp_path / "v")
    prefix = tmp_path / "v" / "variables"
    rewrite = BundleRewrite(Bundle.open(str(prefix)))
    with pytest.raises(fastsm.MissingError, match='no variable has the key "nope"'):
        rewrite.drop(["nope"])
    data = bytearray((tmp_path / "v" / "variables.data-00000-of-00001").read_bytes())
    data[10] ^= 1
    (tmp_path / "v" / "variables.data-00000-of-00001").write_bytes(data)
    with pytest.raises(fastsm.FormatError, match="its bytes are damaged"):
        BundleRewrite(Bundle.open(str(prefix))).check_kept()


def test_slices_that_do_not_cover_are_refused(model: ModelFactory, tmp_path: Path) -> None:
    prefix = model("partitioned") / "variables" / "variables"
    rewrite = BundleRewrite(Bundle.open(str(prefix)))
    part = rewrite.slice_rows(rewrite.row("by_row"))[1]
    without = rewritten(
        prefix, lambda r: r._keep.__setitem__(part, 0), tmp_path / "out"
    )  # no verb would
    with pytest.raises(fastsm.FormatError) as e:
        BundleRewrite(Bundle.open(str(without))).make_dense("by_row")
    assert e.value.problem == '"by_row": its slice 2,2:0,4 is not there'


def test_slices_of_the_same_bytes_do_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand slices that all name one stretch of zeros."""
    n = 1000

    def ask(rewrite: BundleRewrite) -> None:
        extents = [((0, 200), (i, 1)) for i in range(n)]
        for extent in extents:
            entry = _core.new_entry(4, (200, 1), 200, 0)
            rewrite._added[_core.slice_key(b"cut", extent)] = entry, 0
        parts = b"".join(
            _core.delimited(7, b"".join(
                _core.delimited(1, _core.number(1, start) + _core.number(2, length))
                for start, length in extent
            ))
            for extent in extents
        )  # fmt: skip
        rewrite._added[b"cut"] = _core.new_entry(4, (200, n), 0, 0) + parts, 1
        rewrite._fresh += [(0, 0, 200, True), (0, 0, 0, True)]
        rewrite._contents += [None, None]

    prefix = tmp_path / "small" / "variables"
    shutil.copytree(rewritten(RANKER, ask, tmp_path / "out").parent, prefix.parent)
    small = BundleRewrite(Bundle.open(str(prefix)))
    assert len(small.slice_rows(small.row("cut"))) == n
    with pytest.raises(fastsm.FormatError, match="its bytes are damaged"):
        small.make_dense("cut")  # 200 kB of 7.5 kB of shards: that is looked at
    monkeypatch.setattr(dense_module, "MAX_GROWTH", 20)
    with pytest.raises(fastsm.FormatError) as e:
        small.make_dense("cut")
    assert e.value.problem == '"cut": its slices have far more bytes than the shards'


# -- and how fast --


def test_thirty_thousand_entries_take_milliseconds(tmp_path: Path) -> None:
    def ask(rewrite: BundleRewrite) -> None:
        for i in range(30_000):
            rewrite._added[f"layer/{i:05d}/kernel".encode()] = (entry, 0)
        rewrite._fresh.append((0, 0, 4, True))
        rewrite._contents.append(None)

    entry = _core.new_entry(1, (1,), 4, 5)
    prefix = rewritten(RANKER, ask, tmp_path / "out")
    bundle = Bundle.open(str(prefix))
    n = len(bundle.index)
    keep = bytes(i % 2 for i in range(n))
    sizes = [(0, bundle.shard(0).identity.size)]
    start = time.perf_counter()
    _core.Layout(bundle.index, keep, sizes).write()
    assert time.perf_counter() - start < 0.5  # some 10 ms; a loop in Python takes 100


def test_joined_runs_become_one_piece() -> None:
    a, b = from_bytes(b"0123456789"), from_bytes(b"abc")
    source = joined([(a, 0, 4), (a, 4, 6), (b, 1, 3), (a, 6, 6), (a, 8, 10)])
    assert source.read(0, source.size) == b"012345bc89" and len(source) == 3
