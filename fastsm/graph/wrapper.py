"""The function behind a signature of a TF2 model, as the object graph tells of it.

`tf.saved_model.load` takes the names of inputs and outputs from here, and binds them to the
function's arguments and results by position: those of the sorted names. So a name that sorts
elsewhere moves what it names.
Source: tensorflow/python/saved_model/function_deserialization.py
setup_bare_concrete_function, tensorflow/core/function/polymorphism/function_type.py
FunctionType.unpack_inputs, trace_type/default_types.py Dict (2.21).
"""

from __future__ import annotations

from itertools import accumulate

from .._core import delimited
from ..errors import RefusedError
from ..plan import Rewrite
from ..source import from_bytes
from ..text import count, counted, listed, printable
from .function_edits import permute_arguments, permute_results
from .nested import Nested, alone, of_graph
from .structured import LIST, TUPLE
from .structured_edits import items, n_tensors, pairs, rename_item, text, values, with_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..views import MetaGraph
    from .nested import Pair
    from .objects import ObjectNode

# SavedObject, SavedBareConcreteFunction, SavedConcreteFunction, FunctionSpec.
_BARE, _FUNCTION_NAME, _KEYWORDS, _SPEC = 8, 1, 2, 4
_INPUT_SIGNATURE, _OUTPUT_SIGNATURE = 3, 4
_FULLARGSPEC = 1

#: More tensors than this behind one signature are not put in another order.
_MAX_TENSORS = 100_000

#: A function of more bytes is not copied; a signature's has a few thousand.
_MAX_COPY = 1 << 24


class Wrapper:
    """A bare concrete function, and the concrete function that it is.

    Args:
        node: The SavedObject.
        concrete: The SavedConcreteFunction.

    Attributes:
        function: Its name in the library.
    """

    def __init__(self, node: Nested, concrete: Nested) -> None:
        self.node = node
        self.concrete = concrete
        self.bare = node.inside(_BARE, "bare_concrete_function")
        self.function = self.bare.text(_FUNCTION_NAME)

    def names(self, side: str) -> list[str]:
        """The names of its inputs, or of its outputs, in the order of arguments or results.

        Args:
            side: "input" or "output".

        Raises RefusedError where they are not all told by name.
        """
        return list(self._inputs() if side == "input" else self._outputs())

    def rename(self, rewrite: Rewrite, side: str, old: str, new: str) -> list[int]:
        """Rename an input or an output in all that is said of it here.

        Returns the new order of the arguments that are inputs, or of the results: which of
        them comes first, second, ...; nothing where it stays.

        Raises RefusedError where one place does not know the old name, or the new one will
        not do.
        """
        specs = self._inputs() if side == "input" else self._outputs()
        names = list(specs)
        renamed = [new if name == old else name for name in names]
        order = sorted(range(len(names)), key=renamed.__getitem__)
        if side == "output":
            value = self.concrete.inside(_OUTPUT_SIGNATURE, "output_signature")
        else:
            self._check_arguments(renamed, new)
            self._rename_keywords(rewrite, names, renamed, order)
            self._rename_arguments(rewrite, names, renamed, order)
            value = self.concrete.inside(_INPUT_SIGNATURE, "canonicalized_input_signature")
            value = values(value, TUPLE)[1]
        rename_item(rewrite, value, old, new)
        return self._tensors(specs, order)

    def add_concrete(self, rewrite: Rewrite, name: str, concrete: bytes) -> None:
        """Put a concrete function of this name behind its own."""
        around = self.concrete.occurrences[-1][2]
        _, _, entry_end = around[-2]
        entry = delimited(1, name.encode()) + delimited(2, concrete)
        rewrite.replace(entry_end, entry_end, delimited(2, entry), around[:-2])

    # -- what it says of inputs and outputs --

    def _inputs(self) -> dict[str, Nested]:
        """The specs of its inputs, in the order of its arguments."""
        value = self.concrete.inside(_INPUT_SIGNATURE, "canonicalized_input_signature")
        parts = values(value, TUPLE)
        named = items(parts[1]) if len(parts) == 2 else None
        if named is None or values(parts[0], TUPLE):
            raise self._refused("takes its inputs otherwise than by name", value)
        return {name: named[name] for name in sorted(named)}

    def _outputs(self) -> dict[str, Nested]:
        """The specs of its outputs, in the order of its results."""
        value = self.concrete.inside(_OUTPUT_SIGNATURE, "output_signature")
        named = items(value)
        if named is None:
            raise self._refused("gives its outputs otherwise than by name", value)
        return {name: named[name] for name in sorted(named)}

    def _check_arguments(self, names: Sequence[str], new: str) -> None:
        """Refuse names that TensorFlow would not take, or not bind as they sort.

        Args:
            names: Of all inputs, as they are to be.
            new: The one among them that is new.
        """
        from keyword import iskeyword

        argument = python_name(new)
        problem, hint = "", "Take a name of letters and digits."
        if not new or not argument.isidentifier() or iskeyword(argument) or argument == "self":
            problem = (
                f"{printable(new)!r} cannot be the name of a Python argument, which "
                "tf.saved_model.load makes of it"
            )
        elif [python_name(n) for n in names].count(argument) > 1:
            problem = (
                f"tf.saved_model.load makes {printable(argument)} of {printable(new)!r}, and of "
                "the name of another input"
            )
        elif sorted(names) != sorted(names, key=python_name):
            problem = (
                "releases of TensorFlow would sort the inputs differently: some as they are "
                f"called, later ones as Python arguments, {printable(new)!r} as "
                f"{printable(argument)}"
            )
            hint = "A name that sorts where the old one does will do."
        if problem:
            raise self._refused(problem, self.concrete, hint)

    def _rename_keywords(
        self, rewrite: Rewrite, names: list[str], renamed: list[str], order: list[int]
    ) -> None:
        """argument_keywords: by these the arguments are bound where nothing else fits."""
        found = self.bare.holding(_KEYWORDS)
        keywords = [self.bare.reader.text(f, self.bare.place) for f, _ in found]
        if sorted(keywords) != names:
            raise self._refused(
                f"argument_keywords has {listed(keywords)}, and "
                f"canonicalized_input_signature {listed(names)}",
                self.bare,
            )
        became = dict(zip(names, renamed, strict=True))
        new = [delimited(_KEYWORDS, became[keyword].encode()) for keyword in keywords]
        # They stand as the arguments do, and move with them.
        _put(rewrite, self.bare, found, new, order if keywords == names else range(len(new)))

    def _rename_arguments(
        self, rewrite: Rewrite, names: list[str], renamed: list[str], order: list[int]
    ) -> None:
        """function_spec: the Python arguments, under names that Python takes."""
        spec = self.bare.inside(_SPEC, "function_spec")
        if not spec:
            return
        argspec = pairs(spec.inside(_FULLARGSPEC, "fullargspec"))
        became = dict(zip(names, renamed, strict=True))
        became.update(
            (python_name(a), python_name(b)) for a, b in zip(names, renamed, strict=True)
        )
        old, new = next(((a, b) for a, b in zip(names, renamed, strict=True) if a != b))
        for part in ("kwonlydefaults", "annotations"):
            if part in argspec:
                rename_item(rewrite, argspec[part], old, new)
        keywords = argspec.get("kwonlyargs")
        elements = values(keywords, LIST) if keywords else []
        arguments = [text(element) for element in elements]
        if not arguments and "varkw" in argspec and text(argspec["varkw"]) is not None:
            return  # it takes any
        if set(arguments) not in (set(names), {python_name(name) for name in names}):
            raise self._refused(
                f"function_spec has {listed([a or '?' for a in arguments])}, and "
                f"canonicalized_input_signature {listed(names)}",
                spec,
            )
        assert keywords is not None
        _, inner = keywords.member([LIST])
        found = inner.holding(1)
        new_bytes = [
            delimited(1, with_text(element, became[argument or ""]))
            for element, argument in zip(elements, arguments, strict=True)
        ]
        in_order = sorted(arguments, key=str) == arguments
        _put(rewrite, inner, found, new_bytes, order if in_order else range(len(new_bytes)))

    def _tensors(self, specs: dict[str, Nested], order: Sequence[int]) -> list[int]:
        """The order of tensors that an order of names is: some stand for several."""
        if list(order) == list(range(len(order))):
            return []
        sizes = [n_tensors(spec) for spec in specs.values()]
        for (name, spec), size in zip(specs.items(), sizes, strict=True):
            if size is None:
                raise self._refused(
                    f"of how many tensors {printable(name)!r} consists only TensorFlow knows, "
                    "and the new name would move them",
                    spec,
                    "A name that sorts where the old one does moves nothing.",
                )
        known = [size or 0 for size in sizes]
        if sum(known) > _MAX_TENSORS:
            raise self._refused(f"stands for {counted(sum(known), 'tensor')}", self.concrete)
        starts = [0, *accumulate(known)]
        return [starts[i] + k for i in order for k in range(known[i])]

    # -- helpers --

    def _refused(self, problem: str, where: Nested, hint: str | None = None) -> RefusedError:
        return RefusedError(where.reader.path, problem, place=where.place or None, hint=hint)


class Copy:
    """A copy of a signature's object, of its concrete function and of its FunctionDef.

    Attributes:
        wrapper: The first two, to be edited by ``rewrite``.
    """

    def __init__(self, node: bytes, concrete: bytes, function: bytes) -> None:
        parts = (node, concrete, function)
        whole = b"".join(delimited(i, part) for i, part in enumerate(parts, 1))
        top = alone(from_bytes(whole), "", "")
        self.rewrite = Rewrite(top.reader.source)
        self.wrapper = Wrapper(top.inside(1, "object"), top.inside(2, "concrete_function"))
        self._function = top.inside(3, "function")

    def permute(self, side: str, order: Sequence[int]) -> None:
        """Give the arguments or the results another order."""
        if order and side == "input":
            permute_arguments(self.rewrite, self._function, order)
        elif order:
            permute_results(self.rewrite, self._function, order)

    def rename_function(self, name: str) -> None:
        self.wrapper.bare.put_text(self.rewrite, _FUNCTION_NAME, name)
        self._function.inside(1, "signature").put_text(self.rewrite, 1, name)

    def parts(self) -> tuple[bytes, ...]:
        """The three, as they were edited."""
        top = alone(self.rewrite.source(), "", "")
        return tuple(top.inside(number, "").data() for number in (1, 2, 3))


def copy_of(wrapper: Wrapper, function: Nested) -> Copy:
    """A copy, to be edited by itself.

    Raises RefusedError where the function is very large: a signature's calls another one, and
    that is all.
    """
    parts = (wrapper.node, wrapper.concrete, function)
    size = sum(end - at for part in parts for at, end in part.spans)
    if size > _MAX_COPY:
        problem = f"is not copied: {count(size)} bytes"
        raise RefusedError(function.reader.path, problem, place=function.place)
    return Copy(*(part.data() for part in parts))


def python_name(name: str) -> str:
    """The argument that TensorFlow makes of the name of an input.

    Source: tensorflow/core/function/polymorphism/function_type.py sanitize_arg_name (2.21).
    """
    swapped = "".join([c if c.isalnum() else "_" for c in name])
    return swapped if swapped[:1].isalpha() else "arg_" + swapped


def wrapper_of(graph: MetaGraph, node: ObjectNode) -> Wrapper:
    """The function of a signature, from its node in the object graph.

    Raises RefusedError where it is none, or incomplete.
    """
    place, reader = node.place, graph.reader
    if node.kind != "bare_concrete_function":
        raise RefusedError(reader.path, "is not what a signature is made of", place=place)
    objects = of_graph(graph).inside(7, "object_graph_def")
    field = node.field
    around = next(o[2] for o in objects.occurrences if o[0] <= field.start < o[1])
    whole = objects.of([(field, around)], f"nodes[{node.id}]")
    name = whole.inside(_BARE, "").text(_FUNCTION_NAME)
    concrete = objects.entry(2, "concrete_functions", name)
    if concrete is None:
        raise RefusedError(
            reader.path, f"names the concrete function {printable(name)}, which is not there",
            place=place,
        )  # fmt: skip
    return Wrapper(whole, concrete)


def _put(
    rewrite: Rewrite,
    message: Nested,
    fields: Sequence[Pair],
    new: Sequence[bytes],
    order: Sequence[int],
) -> None:
    """Put new[order[i]] where field i is."""
    source = message.reader.source
    for (f, around), i in zip(fields, order, strict=True):
        if new[i] != source.read(f.start, f.end - f.start):
            rewrite.replace(f.start, f.end, new[i], around)
