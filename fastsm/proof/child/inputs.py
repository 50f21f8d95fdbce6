"""What a call is fed: arrays that were given, those of warm-up requests, or made from its specs.

Made inputs follow from the seed, the input's name, its dtype, its shape, and which set it is; so
what else there is does not matter. Unknown dimensions are 1, then 3; a flag is off, then on; an
integer by itself, which may choose a branch, is 1, 2 and 0. A model may take none of that: an
image of one pixel, a word where a serialised Example is wanted. Then others are tried, until the
model runs: see `_search`.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from . import given
from .arrays import QUANTISED, Array, numpy_dtype
from .texts import Text, texts_of

#: The unknown dimensions of the sets that are made.
SIZES = (1, 3)

#: Of an integer by itself: in each set.
LONE = (1, 2, 0)

#: Others that are tried where a model does not run on these: an image's side, a window's length.
OTHER_SIZES = (2, 16, 32, 64, 128, 224, 299)
RANKS = (1, 0, 2, 4, 3)
NUMBERS = ("made", "zeros", "ones", "fractions")

#: A number in an error that is larger is no size: an image that was flattened has 150,528.
MAX_SIZE = 200_000

#: So often a call is tried, and for so long; a set after one that ran is tried less often.
MAX_TRIES, MAX_TRIES_AFTER, MAX_SECONDS = 80, 12, 30.0

#: What is made has at most so many bytes; what is tried, so many elements.
MAX_BYTES, MAX_ELEMENTS = 1 << 30, 1 << 22

#: So many words of the vocabularies are drawn from; what is no word is longer.
N_WORDS, MAX_WORD = 1000, 100
LETTERS = [letter.encode() for letter in "abcdefgh"]


class InputError(Exception):
    """Inputs that cannot be made, or that do not fit what the model asks for."""


class Lacking(InputError):
    """Inputs that are neither given nor to be made."""


class InputSet(NamedTuple):
    """What a call was fed, and what it made of that.

    Attributes:
        how: Where the inputs are from, in words: "made: unknown dimensions 1".
        feed: The arrays, by the inputs' names.
        outputs: What the call returned, or None.
        error: Why it did not, or None.
    """

    how: str
    feed: dict[str, Array]
    outputs: dict[str, Array] | None
    error: Exception | None


def sets_of(call: Any, want: Mapping[str, Any], opened: Any) -> Iterator[InputSet]:
    """Runs a call on all inputs that there are for it.

    Args:
        call: A `Call`: ``kind``, ``key``, ``inputs`` (name -> Spec), ``run(feed)``.
        want: What is wanted, all of it optional.
            seed: Of what is made.
            inputs: A file of arrays, as `given.arrays` reads it. Inputs that it has are fed
                with these; those that it lacks are made.
            examples: An input's name -> features of Examples: see `given.examples`.
            requests: A signature's key -> what `_request` takes.
            defaults: A signature's key -> an input's name -> a TensorProto, as base64: what the
                file says that an input is when it is left out, where the loader does not.
            made: False: nothing is made.
            first: True: only the first set, not each.
        opened: The `Opened` that has the call: ``path``, ``tags``.
    """
    makes = want.get("made", True)
    of_file = want.get("defaults", {}).get(call.key, {}) if call.kind == "signature" else {}
    try:
        told = {n: _value({"tensor": data}) for n, data in of_file.items() if n in call.inputs}
        defaults = {**told, **_defaults(call)}
        fixed = given.fitting(call, given.arrays(want["inputs"])) if want.get("inputs") else {}
        fixed.update(given.fitting(call, given.examples(want.get("examples", {}))))
    except (given.Unfitting, ValueError, TypeError) as e:
        yield InputSet("given", {}, None, InputError(str(e)))
        return
    if fixed:
        fixed = {**defaults, **fixed}
    requests = want.get("requests", {}).get(call.key, ()) if call.kind == "signature" else ()
    for request in () if fixed else requests:
        yield _request(call, request, defaults)
    if fixed and not call.lacking(fixed):
        yield _ran(call, "given", fixed)
        return
    if not makes:
        if fixed or not requests:
            yield _fed(call, "given", fixed or defaults)
        return
    maker = _Maker(call.inputs, fixed, want.get("seed", 0), opened)
    made: list[InputSet] = []
    for turn in range(1 if want.get("first") else maker.n_sets):
        extra = turn >= len(SIZES)  # for one integer only: where it fails, that is no finding
        tries = 0 if extra else MAX_TRIES_AFTER if made and made[0].error is None else MAX_TRIES
        found = _search(call, maker, turn, tries)
        known = any(found.how == one.how for one in made)
        if not known and not (extra and found.error is not None):
            made.append(found)
            yield found
    ran = next((one for one in made if one.error is None), None)
    left = {n for n, s in call.inputs.items() if n not in fixed and _may_be_left_out(s)}
    if ran is not None and left and not want.get("first"):
        feed = {name: array for name, array in ran.feed.items() if name not in left}
        yield _ran(
            call, f"{ran.how}, defaults of {', '.join(sorted(left))}", _defaults(call) | feed
        )


def _ran(call: Any, how: str, feed: dict[str, Array]) -> InputSet:
    try:
        return InputSet(how, feed, call.run(feed), None)
    except Exception as e:
        return InputSet(how, feed, None, e)


def _fed(call: Any, how: str, feed: dict[str, Array]) -> InputSet:
    """Runs it, if nothing is lacking that must be fed; else nobody made it up."""
    if lacking := call.lacking(feed):
        return InputSet(how, feed, None, Lacking(f"no values for {', '.join(lacking)}"))
    return _ran(call, how, feed)


def _may_be_left_out(spec: Any) -> bool:
    """A part of a composite goes with the others."""
    return spec.role is None and (spec.optional or spec.default is not None)


def _defaults(call: Any) -> dict[str, Array]:
    """What is fed for inputs that are left out, where TensorFlow does not do it by itself."""
    return {
        name: spec.default
        for name, spec in call.inputs.items()
        if spec.default is not None and not spec.optional
    }


# -- warm-up requests --


def _request(call: Any, request: Mapping[str, Any], defaults: Mapping[str, Array]) -> InputSet:
    """A request: ``name``, and ``inputs``: name -> {tensor: a TensorProto} or {strings: [...]},
    bytes as base64."""
    how = request["name"]
    try:
        if unknown := sorted(request["inputs"].keys() - call.inputs.keys()):
            raise InputError(f"there is no input {', '.join(unknown)}")
        values = {alias: _value(value) for alias, value in request["inputs"].items()}
        feed = {**defaults, **given.fitting(call, values)}
    except (InputError, given.Unfitting, ValueError, TypeError) as e:
        return InputSet(how, {}, None, InputError(str(e)))
    return _fed(call, how, feed)


def _value(value: Mapping[str, Any]) -> Array:
    if "tensor" in value:
        from google.protobuf.message import DecodeError
        from tensorflow.core.framework import tensor_pb2

        try:
            proto = tensor_pb2.TensorProto.FromString(base64.b64decode(value["tensor"]))
        except DecodeError as e:
            raise ValueError(f"no tensor: {e}") from None
        array: Array = tf.make_ndarray(proto)
        return array
    strings = [base64.b64decode(s) for s in value["strings"]]
    return _objects(strings, [len(strings)])


# -- what is made --


class _Recipe(NamedTuple):
    """How arrays are made.

    Attributes:
        first: An unknown first dimension.
        size: Other unknown dimensions.
        rank: How many dimensions there are where that is unknown, too.
        numbers: One of NUMBERS.
        text: What strings are; a place in the list of `_Maker.texts`.
        parts: Of which composite tensor the inputs are the parts: "" of none, "ragged" or
            "sparse". A signature of TensorFlow 2 takes such parts as plain tensors.
        turn: Which set it is for.
    """

    first: int
    size: int
    rank: int = 1
    numbers: str = "made"
    text: int = 0
    parts: str = ""
    turn: int = 0


class _Maker:
    """Makes the inputs of a call; ``fixed`` are those that were given."""

    def __init__(
        self, specs: Mapping[str, Any], fixed: dict[str, Array], seed: int, opened: Any
    ) -> None:
        self.specs = {alias: spec for alias, spec in specs.items() if alias not in fixed}
        self.fixed = fixed
        self.seed = seed
        self._opened = opened
        shapes = [spec.shape for spec in self.specs.values()]
        self.unknown_rank = any(shape is None for shape in shapes)
        self.parts = [kind for kind in ("", "ragged", "sparse") if self._has_parts(kind)]
        self.unknown_size = "sparse" in self.parts or any(
            spec.role == "indices" or None in (spec.shape or ())[1:] for spec in self.specs.values()
        )
        self.unknown = any(shape is None or None in shape for shape in shapes)
        lone = {spec.dtype for spec in self.specs.values() if spec.shape in ((), (1,))}
        self.flags = "bool" in lone
        self.lone = any(map(_is_whole, lone))
        #: How many sets are not the same.
        self.n_sets = 3 if self.lone else 2 if self.unknown or self.flags else 1
        self.has_texts = any(spec.dtype == "string" for spec in self.specs.values())
        self.has_numbers = any(spec.dtype != "string" for spec in self.specs.values())

    def _has_parts(self, kind: str) -> bool:
        roles = {self._role(spec, kind) for spec in self.specs.values()}
        return {"": set(), "ragged": {"row_splits"}, "sparse": {"indices", "dense_shape"}}[
            kind
        ] <= roles and (len(self.specs) > 1 or not kind)

    def _role(self, spec: Any, kind: str) -> str | None:
        """Which part of a composite a plain input would be, by its dtype and shape."""
        if spec.role or spec.dtype not in ("int32", "int64") or spec.shape is None:
            return None
        if kind == "ragged":
            return "row_splits" if spec.shape == (None,) else None
        if kind == "sparse" and spec.dtype == "int64":
            if len(spec.shape) == 2 and spec.shape[0] is None:
                return "indices"
            return "dense_shape" if len(spec.shape) == 1 and spec.shape[0] else None
        return None

    @cached_property
    def words(self) -> list[bytes]:
        return _words(os.path.join(self._opened.path, "assets")) or LETTERS

    @cached_property
    def texts(self) -> list[Text]:
        """What strings may be: words first, then what the ops of the model ask for."""
        return texts_of(self._opened.path, self._opened.tags, self.words)

    def start(self, turn: int) -> _Recipe:
        """As many rows as what was given has."""
        size = SIZES[min(turn, len(SIZES) - 1)]
        rows = {a.shape[0] for a in self.fixed.values() if a.ndim}
        return _Recipe(min(rows, default=size), size, turn=turn)

    def others(self, start: _Recipe, seen: Sequence[int]) -> Iterator[tuple[int, _Recipe]]:
        """(how far it is from the first one, a recipe).

        Args:
            seen: Numbers in what TensorFlow said so far: often one is the size it wants.
        """
        firsts = [(0, start.first)]
        sizes = [(0, start.size)]
        if self.unknown_size or self.unknown_rank:
            sizes += [(1, n) for n in seen] + [(2 + i, n) for i, n in enumerate(OTHER_SIZES)]
        if self.unknown:
            firsts += [(3, n) for n in seen]
        ranks = [(i, n) for i, n in enumerate(RANKS[: None if self.unknown_rank else 1])]
        numbers = [(2 * i, n) for i, n in enumerate(NUMBERS[: None if self.has_numbers else 1])]
        texts = [(min(i, 1), i) for i in range(len(self.texts) if self.has_texts else 1)]
        parts = list(enumerate(self.parts))
        for chosen in itertools.product(firsts, sizes, ranks, numbers, texts, parts):
            cost = sum(c for c, _ in chosen)
            recipe = _Recipe(*(value for _, value in chosen))  # type: ignore[arg-type]
            yield cost, recipe._replace(turn=start.turn)

    def how(self, recipe: _Recipe) -> str:
        """A recipe in words."""
        parts = []
        if self.fixed:
            parts.append(f"but for {', '.join(self.fixed)}")
        if self.unknown:
            others = self.unknown_size or self.unknown_rank
            second = f" and {recipe.size}" if others and recipe.size != recipe.first else ""
            parts.append(f"unknown dimensions {recipe.first}{second}")
        if self.flags and recipe.numbers in ("made", "fractions"):
            parts.append("flags on" if recipe.turn == 1 else "flags off")
        if self.lone and recipe.numbers in ("made", "fractions"):
            parts.append(f"lone integers {LONE[recipe.turn]}")
        if recipe.rank != RANKS[0] and self.unknown_rank:
            parts.append(f"rank {recipe.rank}")
        if recipe.numbers != NUMBERS[0]:
            parts.append(recipe.numbers)
        if recipe.text:
            parts.append(self.texts[recipe.text].what)
        if recipe.parts:
            parts.append(f"parts of a {recipe.parts} tensor")
        return f"made: {', '.join(parts)}" if parts else "made"

    def feed(self, recipe: _Recipe) -> dict[str, Array]:
        """The arrays. Raises InputError where there can be none."""
        groups: dict[str, dict[str, str]] = {}
        for alias, spec in self.specs.items():
            base = alias.rpartition("[")[0] if spec.role else alias
            groups.setdefault(base, {})[spec.role or ""] = alias
        made = dict(self.fixed)
        for base, parts in groups.items():
            if parts.keys() == {""}:
                made[base] = self._plain(base, recipe)
            else:
                made.update(self._composite(parts, recipe))
        return {alias: made[alias] for alias in [*self.fixed, *self.specs]}

    def n_elements(self, recipe: _Recipe) -> int:
        """Of the largest array."""
        sizes = [_product(_dims(spec.shape, recipe)) for spec in self.specs.values()]
        return max(sizes, default=0)

    def _plain(self, alias: str, recipe: _Recipe) -> Array:
        spec = self.specs[alias]
        role = self._role(spec, recipe.parts)
        if role is None:
            return self._array(alias, spec.dtype, _dims(spec.shape, recipe), recipe)
        if role == "row_splits":
            return _row_splits(recipe.first, recipe.first, spec.dtype)
        rank = spec.shape[-1] or 2
        return _indices(rank, recipe) if role == "indices" else _dense_shape(rank, recipe)

    def _composite(self, parts: Mapping[str, str], recipe: _Recipe) -> dict[str, Array]:
        """The parts of a sparse tensor, of indexed slices or of a ragged one, by their roles."""
        if {"values", "indices", "dense_shape"} >= parts.keys() >= {"values", "indices"}:
            return self._sparse(parts, recipe)
        if "flat_values" in parts and len(parts) > 1:
            return self._ragged(parts, recipe)
        names = ", ".join(parts.values())
        raise InputError(f"no inputs can be made for a composite of {names}: use --inputs")

    def _sparse(self, parts: Mapping[str, str], recipe: _Recipe) -> dict[str, Array]:
        """As many elements as rows; of indexed slices (whose indices are a vector) all slices."""
        specs = {role: self.specs[alias] for role, alias in parts.items()}
        shape = specs["indices"].shape
        known = specs.get("dense_shape")
        sliced = shape is not None and len(shape) == 1
        rank = known.shape[0] if known is not None and known.shape else None
        if shape is not None and not sliced:
            rank = rank or shape[1]
        rank = rank or (len(specs["values"].shape or (1,)) if sliced else 2)
        dims = (recipe.first, *_dims(specs["values"].shape or (None,), recipe)[1:])
        made = {
            "values": self._array(parts["values"], specs["values"].dtype, dims, recipe),
            "indices": np.arange(recipe.first) if sliced else _indices(rank, recipe),
        }
        if known is not None:
            made["dense_shape"] = _dense_shape(rank, recipe)
        return {
            parts[role]: array if role == "values" else array.astype(specs[role].dtype)
            for role, array in made.items()
        }

    def _ragged(self, parts: Mapping[str, str], recipe: _Recipe) -> dict[str, Array]:
        """Rows that are not of one length, in each dimension that is ragged."""
        splits = sorted(
            (role for role in parts if role.startswith("row_splits")),
            key=lambda role: int(role.partition("/")[2] or 0),
        )
        if len(splits) + 1 != len(parts):
            raise InputError(f"no inputs can be made for {', '.join(parts.values())}: use --inputs")
        made = {}
        spec = self.specs[parts[splits[0]]]
        n = spec.shape[0] - 1 if spec.shape and spec.shape[0] else recipe.first
        for role in splits:
            n_inside = n * recipe.size
            made[parts[role]] = _row_splits(n, n_inside, self.specs[parts[role]].dtype)
            n = n_inside
        alias = parts["flat_values"]
        spec = self.specs[alias]
        dims = (n, *_dims(spec.shape or (None,), recipe)[1:])
        made[alias] = self._array(alias, spec.dtype, dims, recipe)
        return made

    def _array(self, alias: str, dtype: str, dims: Sequence[int], recipe: _Recipe) -> Array:
        try:
            kind = numpy_dtype(dtype)
        except TypeError:
            raise InputError(
                f"no inputs of dtype {dtype} can be made, which {alias} takes"
            ) from None
        if _product(dims) * kind.itemsize > MAX_BYTES:
            raise InputError(f"{alias} of shape {list(dims)} is more than 1 GiB: use --inputs")
        name = f"{self.seed} {alias} {dtype} {list(dims)} {recipe.turn}"
        random = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))
        if dtype == "string":
            text = self.texts[recipe.text] if recipe.text else Text("words", _drawn(self.words))
            n = _product(dims)
            return _objects([text.make(random, i, recipe.size) for i in range(n)], dims)
        lone = self.specs[alias].shape in ((), (1,))
        return _numbers(random, dtype, dims, recipe, lone=lone)


def _numbers(
    random: np.random.Generator, dtype: str, dims: Sequence[int], recipe: _Recipe, *, lone: bool
) -> Array:
    """Normal floats, integers from 0 to 3, both bools; or what the recipe wants."""
    base = np.dtype(QUANTISED.get(dtype, numpy_dtype(dtype)))
    made: Array
    if dtype == "bool":
        made = random.integers(2, size=dims).astype(bool)
        if lone:
            made[...] = recipe.turn == 1
        if recipe.numbers in ("zeros", "ones"):
            made[...] = recipe.numbers == "ones"
        return made
    whole = _is_whole(dtype)
    if recipe.numbers in ("zeros", "ones"):
        made = np.full(dims, float(recipe.numbers == "ones"))
    elif whole and lone:
        made = np.full(dims, min(LONE[recipe.turn], 1 if dtype == "int2" else 2))
    elif whole:
        made = random.integers(2 if dtype == "int2" else 4, size=dims)
    elif recipe.numbers == "fractions":
        made = random.random(dims)
    elif dtype.startswith("complex"):
        parts = random.standard_normal([*dims, 2])
        made = parts[..., 0] + 1j * parts[..., 1]
    else:
        made = random.standard_normal(dims)
    made = np.asarray(made).astype(base)
    return made.view(numpy_dtype(dtype)) if dtype in QUANTISED else made


def _is_whole(dtype: str) -> bool:
    return "int" in dtype


def _row_splits(n_rows: int, n: int, dtype: str) -> Array:
    """Where rows begin and end in n elements: the first of several is empty, others are alike."""
    ends = np.linspace(0, n, n_rows + 1).astype(dtype)
    ends[1:-1][:1] = 0
    return ends


def _indices(rank: int, recipe: _Recipe) -> Array:
    """One element in each row, in another column each as far as there are so many."""
    rows = np.arange(recipe.first, dtype=np.int64)
    return np.stack([rows % n for n in _dense_shape(rank, recipe).tolist()], axis=1)


def _dense_shape(rank: int, recipe: _Recipe) -> Array:
    return np.array([recipe.first, *[recipe.size] * (rank - 1)][:rank], dtype=np.int64)


def _dims(shape: Sequence[int | None] | None, recipe: _Recipe) -> tuple[int, ...]:
    shape = (None,) * recipe.rank if shape is None else shape
    return tuple(
        dim if dim is not None else recipe.size if i else recipe.first
        for i, dim in enumerate(shape)
    )


def _product(dims: Sequence[int]) -> int:
    n = 1
    for dim in dims:
        n *= dim
    return n


def _objects(strings: Sequence[bytes], dims: Sequence[int]) -> Array:
    made = np.empty(len(strings), dtype=object)
    made[:] = strings
    return made.reshape(dims)


def _drawn(words: Sequence[bytes]) -> Callable[[np.random.Generator, int, int], bytes]:
    """A word; every third is two, as a tokenizer would find them."""

    def make(random: np.random.Generator, i: int, size: int) -> bytes:
        one, other = (words[k] for k in random.integers(len(words), size=2))
        return b" ".join((one, other)) if i % 3 == 2 else one

    return make


def _words(folder: str) -> list[bytes]:
    """The words of the model's vocabularies: lines of the files of assets/, or their first
    columns."""
    words: set[bytes] = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as f:
                lines = f.read(1 << 20).splitlines()
            words.update(line.partition(b"\t")[0].strip() for line in lines)
    return sorted(w for w in words if w and len(w) < MAX_WORD and b"\0" not in w)[:N_WORDS]


# -- the search --


def _search(call: Any, maker: _Maker, turn: int, tries: int) -> InputSet:
    """The first inputs on which a call runs: those made as they should be, else others.

    The nearest are tried first: one thing changed, then two. Sizes that TensorFlow names in an
    error come before others. Where none runs, it is the first ones and their error.
    """
    start = maker.start(turn)
    try:
        first = _ran(call, maker.how(start), maker.feed(start))
    except InputError as e:
        return InputSet(maker.how(start), {}, None, e)
    if first.error is None or _hopeless(first.error):
        return first
    tried, seen = {start}, _sizes_in(first.error)
    until = time.monotonic() + MAX_SECONDS
    for _ in range(tries):
        untried = (
            (cost, i, recipe)
            for i, (cost, recipe) in enumerate(maker.others(start, seen))
            if recipe not in tried and maker.n_elements(recipe) <= MAX_ELEMENTS
        )
        _, _, recipe = min(untried, default=(0, 0, None))
        if recipe is None or time.monotonic() > until:
            break
        tried.add(recipe)
        found = _ran(call, maker.how(recipe), maker.feed(recipe))
        if found.error is None:
            return found
        if _hopeless(found.error):
            break
        seen += [n for n in _sizes_in(found.error) if n not in seen]
    return first


def _hopeless(error: Exception) -> bool:
    """Whether no other input helps: a variable or a table has no value, an op has no kernel."""
    text = str(error)
    return "No OpKernel was registered" in text or (
        isinstance(error, tf.errors.FailedPreconditionError)
        and any(words in text for words in ("Could not find variable", "ninitialized", "not init"))
    )


#: Lines of an error that say where in the model it was, and not what.
_WHERE = re.compile(r"\s*(Graph execution error|Detected at|Node:|File |\[\[|\(\d+\) |Original|$)")


def _sizes_in(error: Exception) -> list[int]:
    """Numbers in what an error says that may be sizes, in their order."""
    lines = str(getattr(error, "message", error)).splitlines()
    said = next((line for line in lines if not _WHERE.match(line)), "")
    found = [int(n) for n in re.findall(r"(?<![\w.])\d{1,6}(?!\w|\.\d)", said)]
    return [n for n in dict.fromkeys(found) if 2 <= n <= MAX_SIZE][:4]
