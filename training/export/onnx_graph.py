"""Where nodes lie in an ONNX graph, and the order that every runtime takes their bytes in."""

from __future__ import annotations

from collections.abc import Set

from onnx import GraphProto, ModelProto, NodeProto

CONVOLUTION = 'Conv'


def convolutions(graph: GraphProto) -> set[int]:
    """Indices of the convolutions."""
    return {i for i, node in enumerate(graph.node) if node.op_type == CONVOLUTION}


def between(graph: GraphProto, ends: Set[int]) -> set[int]:
    """Indices of `ends` and of all nodes on a way from one of them to another."""
    return _downstream(graph, ends) & _upstream(graph, ends)


def followed_by_another(graph: GraphProto, chosen: Set[int]) -> set[int]:
    """Those of the chosen nodes on whose answer another chosen one depends."""
    return {
        i for i in chosen
        if _downstream(graph, {i}) & (chosen - {i})
    }  # fmt: skip


def _downstream(graph: GraphProto, starts: Set[int]) -> set[int]:
    """Indices of `starts` and of all that depends on them; nodes are in order of execution."""
    names: set[str] = set()
    found = set()
    for i, node in enumerate(graph.node):
        if i in starts or any(name in names for name in node.input):
            found.add(i)
            names.update(node.output)
    return found


def _upstream(graph: GraphProto, ends: Set[int]) -> set[int]:
    """Indices of `ends` and of all that they depend on."""
    names: set[str] = set()
    found = set()
    for i in reversed(range(len(graph.node))):
        node = graph.node[i]
        if i in ends or any(name in names for name in node.output):
            found.add(i)
            names.update(node.input)
    return found


def cast_before_transpose(model: ModelProto) -> None:
    """Let a camera's bytes become floats before they are transposed, in place.

    TensorRT knows bytes as the input of a cast and of nothing else. The values are the same.
    """
    nodes = model.graph.node
    for i, transpose in enumerate(nodes):
        if transpose.op_type != 'Transpose' or not _is_input(model.graph, transpose.input[0]):
            continue
        readers = [k for k, node in enumerate(nodes) if transpose.output[0] in node.input]
        if len(readers) != 1 or nodes[readers[0]].op_type != 'Cast':
            continue
        first, second = NodeProto(), NodeProto()
        first.CopyFrom(nodes[readers[0]])
        second.CopyFrom(transpose)
        bytes_name, between_name = transpose.input[0], transpose.output[0]
        answer = first.output[0]
        first.input[0], first.output[0] = bytes_name, between_name
        second.input[0], second.output[0] = between_name, answer
        nodes[i].CopyFrom(first)
        nodes[readers[0]].CopyFrom(second)


def _is_input(graph: GraphProto, name: str) -> bool:
    return any(value.name == name for value in graph.input)
