"""Where nodes lie in a graph."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper

from training.export.onnx_graph import (
    between,
    convolutions,
    followed_by_another,
)


def graph_of(*nodes: tuple[str, str, str]) -> ModelProto:
    """Nodes as (operator, inputs, output), names separated by spaces; x is the input."""
    made = [helper.make_node(kind, inputs.split(), [output]) for kind, inputs, output in nodes]
    bytes_in = helper.make_tensor_value_info('x', TensorProto.UINT8, ['N', 2, 3])
    out = helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph(made, 'g', [bytes_in], [out]),
                              opset_imports=[helper.make_opsetid('', 18)])  # fmt: skip
    model.ir_version = 10
    return model


# x - scale - c1 - relu -+- c2 - add - c3 - sigmoid
#                        +-------+
BRANCHED = graph_of(
    ('Div', 'x s', 'a'),
    ('Conv', 'a w1', 'b'),
    ('Relu', 'b', 'c'),
    ('Conv', 'c w2', 'd'),
    ('Add', 'c d', 'e'),
    ('Conv', 'e w3', 'f'),
    ('Sigmoid', 'f', 'y'),
).graph


def test_between_holds_the_ends_and_every_way_from_one_to_another() -> None:
    assert convolutions(BRANCHED) == {1, 3, 5}
    assert between(BRANCHED, {1, 3, 5}) == {1, 2, 3, 4, 5}
    assert between(BRANCHED, {1, 3}) == {1, 2, 3}
    assert between(BRANCHED, {3}) == {3}
    assert between(BRANCHED, set()) == set()


def test_only_the_last_on_every_way_is_followed_by_no_other() -> None:
    assert followed_by_another(BRANCHED, {1, 3, 5}) == {1, 3}
    heads = graph_of(('Conv', 'x w1', 'a'), ('Conv', 'a w2', 'b'), ('Conv', 'a w3', 'c')).graph
    assert followed_by_another(heads, {0, 1, 2}) == {0}
