"""Makes the models that are measured, without TensorFlow; the same seed, the same bytes.

    python -m benchmarks.generate [S M L L-flat XL] [--data DIR]

S is the shipped example, which TensorFlow wrote. The others are S grown, so that their nodes
are as real ones: M (5 MB) and L (200 MB) hold the bodies of its functions inlined into the
main graph over and over, and its functions copied under new names with their objects; XL
(1.9 GB) gets large Const nodes. M-bare and L-bare lack fingerprint.pb, L-flat is L with all its
methods on the root. All are written in the map order that TensorFlow writes, which is that of
protobuf's upb.
"""
from __future__ import annotations

import argparse
import os
import random
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fastsm
from fastsm.fingerprint import hashes
from fastsm.source import File

from . import protos

DATA = Path(__file__).parent / "data"
EXAMPLE = Path(__file__).parent.parent / "examples" / "ranker" / "1"
SEEDS = {"M": 1, "L": 2, "XL": 3}


class Noise(NamedTuple):
    """Seeded random bytes that are made when they are written: XL never lies in memory."""

    seed: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        rng = random.Random(self.seed)
        for start in range(0, self.size, 1 << 20):
            yield rng.randbytes(min(1 << 20, self.size - start))


#: A message, serialised: its bytes in order.
Pieces = list[bytes | Noise]


def size(pieces: Iterable[bytes | Noise]) -> int:
    return sum(p.size if isinstance(p, Noise) else len(p) for p in pieces)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def around(number: int, payload: Pieces) -> Pieces:
    """The same, of many pieces."""
    return [varint(number << 3 | 2) + varint(size(payload)), *payload]


def write(path: Path, pieces: Pieces) -> None:
    with open(path, "wb", buffering=1 << 20) as out:
        for piece in pieces:
            if isinstance(piece, Noise):
                out.writelines(piece.blocks())
            else:
                out.write(piece)


def det(message: Any) -> bytes:
    """A message as tf.saved_model.save writes it."""
    out: bytes = message.SerializeToString(deterministic=True)
    return out


def callee(node: Any) -> str:
    """The function that a node calls, or ""; a look at an absent attr would create it."""
    return node.attr["f"].func.name if "f" in node.attr else ""


class Body:
    """A function's body, to be inlined into the main graph.

    Only names and inputs differ from copy to copy; the rest of a node is serialised once.
    """

    def __init__(self, function: Any, op_outputs: dict[str, list[str]]) -> None:
        self.args = [a.name for a in function.signature.input_arg]
        self.nodes: list[tuple[str, bytes, list[tuple[str, str, str]], bytes]] = []
        outputs = {n.name: op_outputs[n.op] for n in function.node_def}
        for node in function.node_def:
            inputs = [self._input(i, outputs) for i in node.input]
            rest = protos.NodeDef()
            rest.CopyFrom(node)
            for name in ("name", "op", "input"):
                rest.ClearField(name)
            self.nodes.append((node.name, field(2, node.op.encode()), inputs, det(rest)))

    @staticmethod
    def _input(text: str, outputs: dict[str, list[str]]) -> tuple[str, str, str]:
        """An input as (before the node, the node, behind it), in the main graph's syntax.

        There "node:indices:0" is "node:1", an op's outputs counted through.
        """
        if text.startswith("^"):
            return "^", text[1:], ""
        node, *output = text.split(":")
        index = outputs[node].index(output[0]) + int(output[1]) if output else 0
        return "", node, f":{index}" if index else ""

    def inline(self, scope: str, arguments: dict[str, str]) -> Iterator[bytes]:
        """The nodes as GraphDef fields, under a scope and with the main graph's arguments."""
        for name, op, inputs, rest in self.nodes:
            node = field(1, f"{scope}/{name}".encode()) + op
            for before, target, behind in inputs:
                target = arguments.get(target) or f"{scope}/{target}"
                node += field(3, f"{before}{target}{behind}".encode())
            yield field(1, node + rest)


class Growth:
    """A meta graph that is being grown.

    Attributes:
        meta: The meta graph, without its new nodes and functions.
        nodes: New GraphDef.node fields.
        functions: New FunctionDefLibrary.function fields.
        layers: Whether the root gets layer objects, and those most of the methods.
        owner: The object whose method the next copied function is; 0 is the root.
    """

    def __init__(self, saved_model: bytes, seed: int, layers: bool = True) -> None:
        self.model = protos.SavedModel.FromString(saved_model)
        self.layers = layers
        self.meta = self.model.meta_graphs[0]
        self.nodes: Pieces = []
        self.functions: Pieces = []
        self.random = random.Random(seed)
        self.uid = 10_000
        self.owner = 0
        self.n_methods = 0

    def function(self, word: str) -> Any:
        """The function whose name without its number is ``__inference_`` and the word."""
        for f in self.meta.graph_def.library.function:
            if f.signature.name.rpartition("_")[0] == f"__inference_{word}":
                return f
        raise LookupError(word)

    def rename(self, word: str) -> tuple[str, str]:
        """A function's name, and one for its copy."""
        self.uid += self.random.randrange(1, 90)
        return self.function(word).signature.name, f"__inference_{word}_{self.uid}"

    def copy(self, word: str) -> None:
        """One more of a function, its signature's wrapper, and a node that calls that.

        The copy is a method of an object as well, so that it loads and can be called.
        """
        old, new = self.rename(word)
        old_wrapper, wrapper = self.rename(f"signature_wrapper_{word}")
        for source, title in (word, new), (f"signature_wrapper_{word}", wrapper):
            copy = protos.FunctionDef()
            copy.CopyFrom(self.function(source))
            copy.signature.name = title
            for node in copy.node_def:
                if callee(node) == old:
                    node.attr["f"].func.name = new
            self.functions.append(field(1, det(copy)))
        for node in self.meta.graph_def.node:
            if callee(node) == old_wrapper:
                call = protos.NodeDef()
                call.CopyFrom(node)
                call.name = f"{word}_{self.uid}/StatefulPartitionedCall"
                call.attr["f"].func.name = wrapper
                self.nodes.append(field(1, det(call)))
        self._expose(word, old, new)

    def _expose(self, word: str, old: str, new: str) -> None:
        """Make a copied function a method: six of the root, then six of each layer object."""
        objects = self.meta.object_graph_def
        objects.concrete_functions[new].CopyFrom(objects.concrete_functions[old])

        def add(parent: int, name: str) -> Any:
            objects.nodes[parent].children.add(node_id=len(objects.nodes), local_name=name)
            return objects.nodes.add()

        if self.layers and self.n_methods and self.n_methods % 6 == 0:
            self.owner = len(objects.nodes)
            layer = add(0, f"layer_{self.n_methods // 6}").user_object
            layer.identifier = "_generic_user_object"
            layer.version.producer = layer.version.min_consumer = 1
        self.n_methods += 1
        function = next(n for n in objects.nodes if list(n.function.concrete_functions) == [old])
        copy = add(self.owner, f"{word}_{self.uid}")
        copy.function.CopyFrom(function.function)
        copy.function.concrete_functions[:] = [new]
        trace = objects.nodes[function.children[0].node_id].bare_concrete_function
        copy = add(len(objects.nodes) - 1, "trace_0").bare_concrete_function
        copy.CopyFrom(trace)
        copy.concrete_function_name = new

    def inline(self, n_nodes: int, words: Sequence[str]) -> None:
        """Inline bodies, in turn, until the main graph has n_nodes more."""
        graph = self.meta.graph_def
        outputs = {
            op.name: [o.name for o in op.output_arg]
            for op in self.meta.meta_info_def.stripped_op_list.op
        }
        bodies = []
        for word in words:
            body = Body(self.function(word), outputs)
            # The wrapper's call in the main graph shows which nodes the arguments are: the
            # wrapper takes the same inputs in the same order.
            wrapper = self.function(f"signature_wrapper_{word}")
            name = wrapper.signature.name
            call = next(n for n in graph.node if callee(n) == name)
            inner = next(n for n in wrapper.node_def if n.op == "StatefulPartitionedCall")
            names = [a.name for a in wrapper.signature.input_arg]
            outer = dict(zip(names, call.input, strict=True))
            targets = [outer[i] for i in inner.input]
            bodies.append((body, dict(zip(body.args, targets, strict=True))))
        end = len(self.nodes) + n_nodes
        replica = 0
        while len(self.nodes) < end:
            for layer in range(12):
                part = self.random.choice(("encoder", "decoder", "candidate_generator"))
                head = self.random.choice(("user_and_item_affinity", "embedding_lookup"))
                scope = (
                    f"training_step/replica_{replica}/two_tower_ranking_model/{part}"
                    f"/transformer_block_{layer}/multi_head_attention/{head}"
                )
                body, arguments = bodies[layer % len(bodies)]
                self.nodes += body.inline(scope, arguments)
            replica += 1

    def freeze(self, n: int, width: int) -> None:
        """A frozen tower: n layers with a square Const each, and a signature over it."""
        rows = {"dim": [{"size": -1}, {"size": width}]}
        square = {"dim": [{"size": width}, {"size": width}]}
        float32 = protos.AttrValue(type=1)
        of_rows, of_square = (protos.AttrValue(list={"shape": [s]}) for s in (rows, square))

        def add(name: str, op: str, inputs: Sequence[str], **attrs: Any) -> str:
            node = protos.NodeDef(name=name, op=op, input=inputs, attr=attrs)
            self.nodes.append(field(1, det(node)))
            return name

        shape = protos.AttrValue(shape=rows)
        x = "frozen/x"
        add(x, "Placeholder", [], dtype=float32, shape=shape, _output_shapes=of_rows)
        y = x
        for i in range(n):
            scope = f"frozen/dense_{i}"
            kernel = protos.NodeDef(
                name=f"{scope}/kernel", op="Const",
                attr={"dtype": float32, "_output_shapes": of_square},
            )  # fmt: skip
            tensor: Pieces = [
                det(protos.TensorProto(dtype=1, tensor_shape=square)),
                *around(4, [Noise(self.random.getrandbits(64), width * width * 4)]),
            ]
            value = [field(1, b"value"), *around(2, around(8, tensor))]
            self.nodes += around(1, [det(kernel), *around(5, value)])
            both = {"T": float32, "_output_shapes": of_rows}
            y = add(f"{scope}/MatMul", "MatMul", [y, kernel.name], **both)
            y = add(f"{scope}/Tanh", "Tanh", [y], **both)
        info = {"dtype": 1, "tensor_shape": rows}
        self.meta.signature_def["frozen"].CopyFrom(
            protos.SignatureDef(
                inputs={"x": protos.TensorInfo(name=f"{x}:0", **info)},
                outputs={"y": protos.TensorInfo(name=f"{y}:0", **info)},
                method_name="tensorflow/serving/predict",
            )
        )

    def pieces(self) -> Pieces:
        """The whole saved_model.pb."""
        graph = self.meta.graph_def
        library = [field(1, det(f)) for f in graph.library.function]
        before, after, rest = protos.MetaGraphDef(), protos.MetaGraphDef(), protos.SavedModel()
        before.meta_info_def.CopyFrom(self.meta.meta_info_def)
        after.CopyFrom(self.meta)
        after.ClearField("meta_info_def")
        after.ClearField("graph_def")
        rest.CopyFrom(self.model)
        rest.ClearField("meta_graphs")
        whole = [
            *(field(1, det(n)) for n in graph.node),
            *self.nodes,
            *around(2, [*library, *self.functions]),
            field(4, det(graph.versions)),
        ]
        return [det(rest), *around(2, [det(before), *around(2, whole), det(after)])]


def fingerprint(folder: Path) -> bytes:
    """A true fingerprint.pb, as TensorFlow 2.21 would write it."""
    model = fastsm.open(folder)
    graph = model.meta_graphs[0]
    return det(protos.FingerprintDef(
        saved_model_checksum=hashes.checksum(model.reader.source),
        graph_def_program_hash=hashes.program_hash(graph),
        signature_def_hash=hashes.signatures_hash(graph),
        saved_object_graph_hash=hashes.objects_hash(graph),
        checkpoint_hash=hashes.checkpoint_hash(
            File(str(folder / "variables" / "variables.index")).source()
        ),
        version={"producer": 4},
        uuid="0" * 40,
    ))  # fmt: skip


def grow(example: Path, size: str) -> Growth:
    """The model of a size, in memory."""
    size, _, shape = size.partition("-")
    saved_model = (example / "saved_model.pb").read_bytes()
    model = Growth(saved_model, seed=SEEDS[size], layers=shape != "flat")
    if size == "XL":
        model.freeze(113, 2048)
        return model
    n_copies, n_nodes = {"M": (40, 11_000), "L": (847, 500_000)}[size]
    for i in range(n_copies):
        model.copy(("serve", "rank")[i % 2])
    model.inline(n_nodes, ("serve", "rank"))
    return model


def generate(example: Path, size: str, folder: Path) -> None:
    """Write the model of a size; it appears complete, or not at all."""
    staged = folder.with_name(f".{folder.name}")
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(example, staged)
    if size != "S":
        write(staged / "saved_model.pb", grow(example, size).pieces())
        (staged / "fingerprint.pb").write_bytes(fingerprint(staged))
    shutil.rmtree(folder, ignore_errors=True)
    staged.rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help="S, M, L, L-flat or XL; else all")
    parser.add_argument("--data", type=Path, default=DATA, help="where the models go")
    parser.add_argument("--example", type=Path, default=EXAMPLE, help="what they grow from")
    args = parser.parse_args()
    if protos.IMPLEMENTATION != "upb":
        parser.error(f"protobuf runs on {protos.IMPLEMENTATION}, the map order needs upb")
    args.data.mkdir(parents=True, exist_ok=True)
    for name in args.sizes or ("S", "M", "L", "L-flat", "XL"):
        folder = args.data / name
        generate(args.example, name, folder)
        if name in ("M", "L"):
            bare = args.data / f"{name}-bare"
            shutil.rmtree(bare, ignore_errors=True)
            shutil.copytree(folder, bare, copy_function=os.link)
            (bare / "fingerprint.pb").unlink()
        print(f"{folder}: {os.path.getsize(folder / 'saved_model.pb'):,} bytes")


if __name__ == "__main__":
    main()
