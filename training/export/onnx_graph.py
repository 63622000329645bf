"""Where nodes lie in an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable, Set

from onnx import GraphProto

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


def needed_for(graph: GraphProto, names: Iterable[str]) -> set[int]:
    """Indices of the nodes that answer these tensors, and of all that they depend on."""
    wanted = set(names)
    ends = {i for i, node in enumerate(graph.node) if wanted.intersection(node.output)}
    return _upstream(graph, ends)


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
