"""What MetaInfoDef says of the graph, cut down to what is left of it.

Source: tensorflow/core/protobuf/meta_graph.proto, tensorflow/core/framework/op_def.proto (2.21).
"""

from __future__ import annotations

from ...graph.nested import of_graph

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from ...plan import Rewrite
    from ...views import MetaGraph

# Field numbers: MetaGraphDef.meta_info_def; MetaInfoDef.stripped_op_list and
# function_aliases; OpList.op.
_INFO, _OPS, _ALIASES, _OP = 1, 2, 8, 1


def filter_info(
    rewrite: Rewrite, graph: MetaGraph, ops: Container[str], functions: Container[str]
) -> None:
    """Let the list of ops tell of ops that are left, and aliases of functions that are.

    Both are as a writer left them: what they lacked they lack.

    Args:
        ops: The ops of the nodes that stay.
        functions: The names of the functions that stay.
    """
    info = of_graph(graph).inside(_INFO, "meta_info_def")
    listed = info.inside(_OPS, "stripped_op_list")
    for message, number, kept in ((listed, _OP, ops), (info, _ALIASES, functions)):
        for field, around in message.holding(number):
            # An OpDef's name and a map entry's key are both the field 1.
            if message.of([(field, around)], "").text(1) not in kept:
                rewrite.replace(field.start, field.end, b"", around)
