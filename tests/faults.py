"""Models with one reference that leads nowhere: each case a function that makes it.

A function gets a model that TensorFlow wrote, as messages, and spoils one thing. Its decorator
says what `fastsm verify` has to find there, and what each loader makes of it, from loading to
running every signature and method: "ok", "load" where it does not load, "run" where something
does not run, "differs" where something computes other values than before.
"""
from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message_factory import GetMessageClass

from fastsm import _core
from fastsm.bundle import OBJECT_GRAPH_KEY
from fastsm.bundle.opened import Bundle
from fastsm.bundle.rewrite import BundleRewrite

from .wire import message_type

LOADERS = ("v2", "v1", "cc", "objects")


class Fault(NamedTuple):
    make: Callable[[Messages], None]
    base: str
    finds: frozenset[str]
    verdicts: dict[str, str]


FAULTS: dict[str, Fault] = {}


def fault(
    base: str, *finds: str, v2: str = "ok", v1: str = "ok", cc: str = "ok", objects: str = "ok"
) -> Callable[[Callable[[Messages], None]], Callable[[Messages], None]]:
    """Enter a function among the faults: its model, what is found, what loaders make of it."""

    def enter(make: Callable[[Messages], None]) -> Callable[[Messages], None]:
        verdicts = dict(zip(LOADERS, (v2, v1, cc, objects), strict=True))
        FAULTS[make.__name__] = Fault(make, base, frozenset(finds), verdicts)
        return make

    return enter


class Messages:
    """A model as messages; `write` puts those that were touched back.

    Attributes:
        saved: The SavedModel.
        graph: Its first meta graph.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path / "saved_model.pb"
        self.saved = _parsed("SavedModel", self._file.read_bytes())
        self.graph = self.saved.meta_graphs[0]
        self._tracked: Any = None

    @property
    def tracked(self) -> Any:
        """The checkpoint's own object graph, a TrackableObjectGraph."""
        if self._tracked is None:
            self._tracked = _parsed("TrackableObjectGraph", tracked_bytes(self.path) or b"")
        return self._tracked

    def write(self) -> None:
        self._file.write_bytes(self.saved.SerializeToString(deterministic=True))
        if self._tracked is not None:
            data, masked = _core.encode_strings([self._tracked.SerializeToString()])
            self.rewrite(
                lambda b: b.replace(OBJECT_GRAPH_KEY, data, _core.crc32c_unmask(masked))
            )

    def rewrite(self, change: Callable[[BundleRewrite], object]) -> None:
        """Change the bundle, now."""
        prefix = self.path / "variables" / "variables"
        rewrite = BundleRewrite(Bundle.open(str(prefix)))
        change(rewrite)
        new = rewrite.result()
        files = {"variables.index": new.index, **new.shards}
        contents = {name: source.read(0, source.size) for name, source in files.items()}
        for name, content in contents.items():
            (prefix.parent / name).write_bytes(content)

    # -- what is there --

    @property
    def library(self) -> Any:
        return self.graph.graph_def.library

    def node(self, op: str) -> Any:
        """The first node of the main graph with an op."""
        return next(n for n in self.graph.graph_def.node if n.op == op)

    def named(self, tensor: str) -> Any:
        """The node of the main graph that a tensor comes from."""
        name = tensor.partition(":")[0]
        return next(n for n in self.graph.graph_def.node if n.name == name)

    def function(self, part: str) -> Any:
        """The first function whose name has these letters."""
        return next(f for f in self.library.function if part in f.signature.name)

    def objects(self, kind: str) -> list[Any]:
        return [o for o in self.graph.object_graph_def.nodes if o.WhichOneof("kind") == kind]


def tracked_bytes(path: Path) -> bytes | None:
    """The checkpoint's own object graph of a model; None where it has none."""
    bundle = Bundle.open(str(path / "variables" / "variables"))
    keys = list(bundle.index.keys())
    if OBJECT_GRAPH_KEY not in keys:
        return None
    _, _, shard, offset, size, _, _ = bundle.index.entry(keys.index(OBJECT_GRAPH_KEY))
    [data] = _core.string_elements(bundle.shard(shard).source(), offset, size, 1)
    return data


def _parsed(name: str, data: bytes) -> Any:
    return GetMessageClass(message_type(name)).FromString(data)


def without(repeated: Any, *gone: Any) -> None:
    """Take elements out of a repeated field."""
    kept = [m for m in repeated if all(m != g for g in gone)]
    del repeated[:]
    repeated.extend(kept)


def child(message: Any, name: str) -> Any:
    return next(c for c in message.children if c.local_name == name)


NOWHERE = 10_000

# -- the main graph --


@fault("asset_field", "node-input", v2="load", v1="load", cc="load")
def input_of_main(m: Messages) -> None:
    m.node("LookupTableFindV2").input[1] = "nowhere"


@fault("asset_field", "node-input", v2="load", v1="load", cc="load")
def control_input_of_main(m: Messages) -> None:
    m.node("LookupTableFindV2").input.append("^nowhere")


@fault("vocabulary", "node-input", v1="load", cc="load")
def control_input_of_tf2(m: Messages) -> None:
    m.node("StatefulPartitionedCall").input.append("^nowhere")


@fault("asset_field", "node-class", v2="load", v1="load", cc="load")
def placed_with_nothing(m: Messages) -> None:
    m.node("LookupTableFindV2").attr["_class"].list.s.append(b"loc:@nowhere")


@fault("vocabulary", "node-class", v1="load", cc="load")
def placed_with_nothing_in_tf2(m: Messages) -> None:
    m.node("StatefulPartitionedCall").attr["_class"].list.s.append(b"loc:@nowhere")


@fault("asset_field", "node-twice", v2="load", v1="load", cc="load")
def name_twice(m: Messages) -> None:
    m.graph.graph_def.node.add().CopyFrom(m.node("LookupTableFindV2"))


@fault("vocabulary", "function-missing", v1="load", cc="load")
def function_of_main(m: Messages) -> None:
    m.node("StatefulPartitionedCall").attr["f"].func.name = "nowhere"


# -- functions --


@fault("vocabulary", "node-input", v2="load", v1="load", cc="load")
def input_in_a_function(m: Messages) -> None:
    body = m.function("__inference_signature_wrapper")
    body.node_def[0].input[0] = "nowhere:output:0"


@fault("vocabulary", v2="ok")
def placed_with_nothing_in_a_function(m: Messages) -> None:
    body = m.function("__inference_signature_wrapper")
    body.node_def[0].attr["_class"].list.s.append(b"loc:@nowhere")


@fault("vocabulary", "node-twice", v2="load", v1="load", cc="load")
def name_twice_in_a_function(m: Messages) -> None:
    body = m.function("__inference_signature_wrapper")
    body.node_def.add().CopyFrom(body.node_def[0])


@fault("vocabulary", "function-missing", v2="load", v1="run", cc="run")
def function_in_a_function(m: Messages) -> None:
    body = m.function("__inference_signature_wrapper")
    call = next(n for n in body.node_def if "Call" in n.op)
    call.attr["f"].func.name = "nowhere"


@fault("vocabulary", "function-missing")
def function_in_the_attributes_of_a_function(m: Messages) -> None:
    body = m.function("__inference_signature_wrapper")
    call = next(n for n in body.node_def if "Call" in n.op)
    call.attr["f"].func.attr["g"].func.name = "nowhere"


@fault("control_flow", "function-missing", v2="load", v1="run", cc="run")
def function_in_a_list(m: Messages) -> None:
    case = next(n for f in m.library.function for n in f.node_def if n.op.endswith("Case"))
    case.attr["branches"].list.func[0].name = "nowhere"


@fault("vocabulary", "function-return", v2="load", v1="load", cc="load")
def returned_node(m: Messages) -> None:
    body = m.function("__inference_signature_wrapper")
    for name in body.ret:
        body.ret[name] = "nowhere:output:0"


@fault("vocabulary", "function-return", v2="load", v1="load", cc="load")
def output_that_is_not_returned(m: Messages) -> None:
    m.function("__inference_signature_wrapper").ret.clear()


@fault("vocabulary", "function-return", v2="load")
def returned_op(m: Messages) -> None:
    body = m.function("__inference_signature_wrapper")
    for name in body.control_ret:
        body.control_ret[name] = "nowhere"


@fault("vocabulary", "function-return", v2="load")
def control_output(m: Messages) -> None:
    m.function("__inference_signature_wrapper").signature.control_output.append("nowhere")


@fault("vocabulary", "function-missing", v1="load")
def gradient(m: Messages) -> None:
    pair = m.library.gradient.add()
    pair.function_name, pair.gradient_func = "nowhere", "nowhere_either"


@fault("vocabulary", "gradient-unregistered")
def registered_gradient(m: Messages) -> None:
    pair = m.library.registered_gradients.add()
    pair.registered_op_type, pair.gradient_func = "CustomGradient-1", "nowhere"


@fault("custom_gradient", "function-missing", v2="load")
def registered_gradient_that_is_used(m: Messages) -> None:
    m.library.registered_gradients[0].gradient_func = "nowhere"


# -- what loading looks up --


@fault("asset_field", "signature-tensor", v2="load", v1="run", cc="run")
def tensor_of_a_signature(m: Messages) -> None:
    for info in m.graph.signature_def["serving_default"].outputs.values():
        info.name = "nowhere:0"


@fault("vocabulary", "signature-tensor", v1="run", cc="run")
def tensor_of_a_signature_of_tf2(m: Messages) -> None:
    for info in m.graph.signature_def["serving_default"].outputs.values():
        info.name = "nowhere:0"


@fault("vocabulary", "op-missing", v1="load", cc="load")
def init_op(m: Messages) -> None:
    op = "__saved_model_init_op"
    m.graph.signature_def[op].outputs[op].name = "nowhere"


@fault("vocabulary", "op-missing", v1="load", cc="load")
def restore_op(m: Messages) -> None:
    m.graph.saver_def.restore_op_name = "nowhere"


@fault("vocabulary", "op-missing", v1="load", cc="load")
def saver_filename(m: Messages) -> None:
    m.graph.saver_def.filename_tensor_name = "nowhere:0"


@fault("vocabulary")
def save_tensor(m: Messages) -> None:
    m.graph.saver_def.save_tensor_name = "nowhere:0"


@fault("vocabulary", "op-missing", v1="load")
def no_save_tensor(m: Messages) -> None:
    m.graph.saver_def.save_tensor_name = ""


@fault("vocabulary", "op-missing", v1="load", cc="load")
def no_restore_op(m: Messages) -> None:
    m.graph.saver_def.restore_op_name = ""


@fault("asset_field", "op-missing", v2="load", v1="load", cc="load")
def tensor_of_an_asset(m: Messages) -> None:
    m.graph.asset_file_def[0].tensor_info.name = "nowhere:0"


@fault("asset_field", "asset-tensor", cc="load")
def tensor_fed_twice(m: Messages) -> None:
    m.graph.asset_file_def.add().CopyFrom(m.graph.asset_file_def[0])


@fault("asset_field", "collection-dangling", v2="load", v1="load")
def entry_of_a_collection(m: Messages) -> None:
    m.graph.collection_def["table_initializer"].node_list.value.append("nowhere")


@fault("asset_field", "collection-dangling", v2="load", v1="load")
def initializer_of_a_variable(m: Messages) -> None:
    VariableDef = GetMessageClass(message_type("VariableDef"))
    values = m.graph.collection_def["variables"].bytes_list.value
    variable = VariableDef.FromString(values[0])
    variable.initializer_name = "nowhere"
    values[0] = variable.SerializeToString()


@fault("asset_field")
def no_variables_in_collections(m: Messages) -> None:
    for name in ("variables", "trainable_variables"):
        del m.graph.collection_def[name]


# -- objects --


@fault("vocabulary", "model-object", "model-damaged", "object-child", v2="load", objects="load")
def child_of_an_object(m: Messages) -> None:
    child(m.graph.object_graph_def.nodes[0], "signatures").node_id = NOWHERE


@fault("vocabulary", "model-object", v2="load")
def dependency(m: Messages) -> None:
    for node in m.graph.object_graph_def.nodes:
        for reference in node.dependencies:
            reference.node_id = NOWHERE


@fault("vocabulary", "model-object", v2="load")
def restore_function_of_a_table(m: Messages) -> None:
    for node in m.objects("resource"):
        for saveable in node.saveable_objects.values():
            saveable.restore_function = NOWHERE


@fault("tf_keras_slots", "model-object", v2="load")
def slot_variable(m: Messages) -> None:
    for node in m.graph.object_graph_def.nodes:
        for slot in node.slot_variables:
            slot.slot_variable_node_id = NOWHERE


@fault("tf_keras_slots", "model-object", v2="load")
def variable_of_a_slot(m: Messages) -> None:
    for node in m.graph.object_graph_def.nodes:
        for slot in node.slot_variables:
            slot.original_variable_node_id = NOWHERE


@fault("vocabulary", "model-object", v2="load")
def node_of_a_constant(m: Messages) -> None:
    m.objects("constant")[0].constant.operation = "nowhere"


@fault("vocabulary", "model-object", v2="load")
def index_of_an_asset(m: Messages) -> None:
    m.objects("asset")[0].asset.asset_file_def_index = 1


@fault("vocabulary", "model-object", v2="load", v1="load", cc="load")
def no_assets(m: Messages) -> None:
    del m.graph.asset_file_def[:]


@fault("vocabulary", "model-object", v2="load")
def function_of_a_captured_tensor(m: Messages) -> None:
    captured = m.graph.object_graph_def.nodes.add().captured_tensor
    captured.name, captured.concrete_function = "x:0", "nowhere"


@fault("vocabulary", "model-object", v2="load")
def captured_tensor(m: Messages) -> None:
    captured = m.graph.object_graph_def.nodes.add().captured_tensor
    captured.name = "nowhere:0"
    captured.concrete_function = m.library.function[0].signature.name


@fault("vocabulary", "model-object", v2="load")
def bound_input(m: Messages) -> None:
    for concrete in m.graph.object_graph_def.concrete_functions.values():
        for i in range(len(concrete.bound_inputs)):
            concrete.bound_inputs[i] = NOWHERE


@fault("two_signatures", "model-object", v2="run")
def fewer_bound_inputs(m: Messages) -> None:
    for concrete in m.graph.object_graph_def.concrete_functions.values():
        del concrete.bound_inputs[:1]


@fault("two_signatures", "model-object", v2="run")
def more_bound_inputs(m: Messages) -> None:
    for concrete in m.graph.object_graph_def.concrete_functions.values():
        concrete.bound_inputs.extend(list(concrete.bound_inputs) * 9)


@fault("vocabulary", "model-object", v2="load")
def concrete_function_that_is_none(m: Messages) -> None:
    m.graph.object_graph_def.concrete_functions["nowhere"].SetInParent()


@fault("vocabulary", "model-object", v2="load")
def trace_of_a_function(m: Messages) -> None:
    m.objects("function")[0].function.concrete_functions.append("nowhere")


@fault("vocabulary", "model-object", v2="load")
def no_concrete_functions(m: Messages) -> None:
    m.graph.object_graph_def.concrete_functions.clear()


@fault("vocabulary", "model-object", "object-child", v2="run", objects="load")
def resource_without_initializer(m: Messages) -> None:
    for node in m.objects("resource"):
        without(node.children, child(node, "_initialize"))


@fault("vocabulary", "model-object", "object-child", v2="load", objects="load")
def resource_without_creator(m: Messages) -> None:
    for node in m.objects("resource"):
        without(node.children, child(node, "_create_resource"))


@fault("vocabulary", "object-child", objects="load")
def resource_without_destroyer(m: Messages) -> None:
    for node in m.objects("resource"):
        without(node.children, child(node, "_destroy_resource"))


# -- the checkpoint --


@fault("vocabulary", "object-unrestored", v2="differs")
def table_without_restore_function(m: Messages) -> None:
    for node in m.objects("resource"):
        node.saveable_objects.clear()


@fault("two_signatures", "object-unrestored", "object-child", v2="run", objects="load")
def variable_without_a_path(m: Messages) -> None:
    nodes = m.graph.object_graph_def.nodes
    variables = [i for i, n in enumerate(nodes) if n.WhichOneof("kind") == "variable"]
    for node in nodes:
        without(node.children, *[c for c in node.children if c.node_id in variables])


@fault("two_signatures", "object-unrestored", "object-child", v2="load", objects="load")
def variable_of_another_name(m: Messages) -> None:
    nodes = m.graph.object_graph_def.nodes
    for reference in nodes[0].children:
        if nodes[reference.node_id].WhichOneof("kind") == "variable":
            reference.local_name += "_"


@fault("two_signatures", "object-graph", v2="load", objects="load")
def child_of_a_tracked_object(m: Messages) -> None:
    reference = m.tracked.nodes[0].children.add()
    reference.local_name, reference.node_id = "more", NOWHERE


@fault("two_signatures", "object-child", objects="load")
def child_that_the_checkpoint_alone_has(m: Messages) -> None:
    reference = m.tracked.nodes[0].children.add()
    reference.local_name, reference.node_id = "more", len(m.tracked.nodes)
    m.tracked.nodes.add()


@fault("tf_keras_slots", "object-graph", v2="load")
def slot_of_a_tracked_object(m: Messages) -> None:
    for node in m.tracked.nodes:
        for slot in node.slot_variables:
            slot.slot_variable_node_id = NOWHERE


@fault("two_signatures", "object-key", "restore-key", v2="load")
def key_of_a_tracked_object(m: Messages) -> None:
    for node in m.tracked.nodes:
        for value in node.attributes:
            value.checkpoint_key = "nowhere"


@fault(
    "two_signatures", "object-graph", "restore-key",
    v2="load", v1="load", cc="load", objects="load",
)  # fmt: skip
def no_tracked_objects(m: Messages) -> None:
    m.rewrite(lambda b: b.drop([OBJECT_GRAPH_KEY]))


@fault("two_signatures", "restore-key", "object-key", v2="load", v1="load", cc="load")
def key_of_a_variable(m: Messages) -> None:
    key = next(v.checkpoint_key for n in m.tracked.nodes for v in n.attributes)
    m.rewrite(lambda b: b.drop([key]))


@fault("two_signatures", "index-missing", v2="load", v1="load", cc="run")
def no_checkpoint(m: Messages) -> None:
    shutil.rmtree(m.path / "variables")


@fault("two_signatures", "object-child", "object-unrestored", v2="load", objects="load")
def position_in_a_list(m: Messages) -> None:
    """A variable in a list, at positions that the two object graphs count differently."""
    saved = m.graph.object_graph_def
    for graph, position in ((saved, "1"), (m.tracked, "0")):
        reference = child(graph.nodes[0], "kernel")
        listed, reference.node_id = reference.node_id, len(graph.nodes)
        element = graph.nodes.add().children.add()
        element.local_name, element.node_id = position, listed
    kind = saved.nodes[-1].user_object
    kind.identifier = "trackable_list_wrapper"
    kind.version.producer = kind.version.min_consumer = 1


# -- what no loader, or one in its own way, minds --


@fault("vocabulary", "object-child", "signature-one-sided", v2="run", objects="load")
def no_signatures(m: Messages) -> None:
    root = m.graph.object_graph_def.nodes[0]
    without(root.children, child(root, "signatures"))


@fault("vocabulary", "signature-one-sided", v2="load")
def signatures_of_another_kind(m: Messages) -> None:
    for node in m.objects("user_object"):
        if node.user_object.identifier == "signature_map":
            node.user_object.identifier = "_generic_user_object"


@fault("two_signatures", v2="run")
def no_objects(m: Messages) -> None:
    """Then there are no methods; the signatures are those of the graph."""
    m.graph.ClearField("object_graph_def")


@fault("vocabulary", "object-child", objects="load")
def functions_without_traces(m: Messages) -> None:
    for node in m.objects("function"):
        del node.children[:]


@fault("vocabulary", v2="ok")
def no_dependencies(m: Messages) -> None:
    for node in m.objects("function"):
        del node.dependencies[:]


@fault("vocabulary")
def alias(m: Messages) -> None:
    m.graph.meta_info_def.function_aliases["nowhere"] = "alias"


@fault("vocabulary")
def no_list_of_ops(m: Messages) -> None:
    m.graph.meta_info_def.ClearField("stripped_op_list")


@fault("two_signatures")
def no_init_op(m: Messages) -> None:
    del m.graph.signature_def["__saved_model_init_op"]


@fault("vocabulary", "asset-missing", v2="load", v1="load", cc="load")
def file_of_an_asset(m: Messages) -> None:
    (m.path / "assets" / m.graph.asset_file_def[0].filename).unlink()
