"""8-bit graphs: what is quantised and how, what stays in float, and how close the answers are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tiny_networks import SAMPLES, SPEC, contrasted_networks, frames

from depth_ros.backends.eight_bits import ort_settings
from depth_ros.errors import ModelError
from depth_ros.model_folder.model import Model
from training.export.graphs import disparity_graphs
from training.export.model_folder import export_model
from training.int8 import graph as int8_graph
from training.int8.bias_correction import correct_biases
from training.int8.graph import to_int8

QUANTISERS = {'QuantizeLinear', 'DequantizeLinear'}
DEPTH_INPUTS = [{'image': image[None], 'unused': image} for image in frames(16, seed=1)]
POSE_INPUTS = [
    {'previous': first[None], 'current': second[None]}
    for first, second in zip(frames(8, seed=2), frames(8, seed=3))
]


@pytest.fixture(scope='module')
def single(tmp_path_factory) -> Model:
    out: Path = tmp_path_factory.mktemp('models') / 'tiny'
    export_model(*disparity_graphs(*contrasted_networks(), SPEC), SPEC, SAMPLES, out)
    return Model.load(out)


@pytest.fixture(scope='module')
def depth(single: Model) -> ModelProto:
    return to_int8(onnx.load(single.depth_path), DEPTH_INPUTS)


@pytest.fixture(scope='module')
def pose(single: Model) -> ModelProto:
    assert single.pose_path is not None
    return to_int8(onnx.load(single.pose_path), POSE_INPUTS)


@pytest.fixture(params=['depth', 'pose'])
def either(request: pytest.FixtureRequest) -> ModelProto:
    return request.getfixturevalue(request.param)


def run(model: ModelProto, **inputs: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    for name, value in ort_settings().items():
        options.add_session_config_entry(name, value)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    return session.run(None, inputs)[0]


def producers(model: ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def constants(model: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_every_convolution_multiplies_eight_bits(either: ModelProto) -> None:
    made, values = producers(either), constants(either)
    convolutions = [node for node in either.graph.node if node.op_type == 'Conv']
    assert len(convolutions) > 10
    for node in convolutions:
        activation, weight = (made[name] for name in node.input[:2])
        assert activation.op_type == weight.op_type == 'DequantizeLinear'
        assert made[activation.input[0]].op_type == 'QuantizeLinear'
        assert values[activation.input[1]].shape == ()
        eight = values[weight.input[0]]
        assert eight.dtype == np.int8
        assert values[weight.input[1]].shape == (len(eight),)
        assert next(a.i for a in weight.attribute if a.name == 'axis') == 0


def test_the_last_convolution_answers_in_floats_and_no_other_does(either: ModelProto) -> None:
    nodes = list(either.graph.node)
    readers = [
        {node.op_type for node in nodes if convolution.output[0] in node.input}
        for convolution in nodes if convolution.op_type == 'Conv'
    ]  # fmt: skip
    assert QUANTISERS.isdisjoint(readers.pop())
    assert set().union(*readers) <= {'QuantizeLinear', 'Relu'}
    assert not [name for node in nodes for name in node.input if name and name not in
                {*producers(either), *constants(either), *(i.name for i in either.graph.input)}]


def test_values_are_rounded_before_an_enlargement_multiplies_them(depth: ModelProto) -> None:
    made = producers(depth)
    enlarged = [node for node in depth.graph.node if node.op_type == 'Resize']
    assert len(enlarged) == 5
    assert {made[node.input[0]].op_type for node in enlarged} == {'DequantizeLinear'}


def test_biases_are_floats_and_each_convolution_has_its_own(either: ModelProto) -> None:
    values = constants(either)
    biases = [node.input[2] for node in either.graph.node if node.op_type == 'Conv']
    assert len(set(biases)) == len(biases)
    assert {values[name].dtype for name in biases} == {np.dtype(np.float32)}


def test_quantisation_is_symmetric(either: ModelProto) -> None:
    values = constants(either)
    quantisers = [node for node in either.graph.node if node.op_type in QUANTISERS]
    for node in quantisers:
        zero = values[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (values[node.input[1]] > 0).all()


def test_the_input_and_what_follows_the_last_convolution_stay_float(either: ModelProto) -> None:
    nodes = list(either.graph.node)
    kinds = [node.op_type for node in nodes]
    last = len(kinds) - 1 - kinds[::-1].index('Conv')
    assert QUANTISERS.isdisjoint(kinds[last:])
    assert len(kinds[last:]) > 4
    bytes_in = {value.name for value in either.graph.input}
    assert {v.type.tensor_type.elem_type for v in either.graph.input} == {TensorProto.UINT8}
    readers = [node.op_type for node in nodes if bytes_in & set(node.input)]
    assert set(readers) == {'Cast'}
    made = producers(either)
    name = next(node for node in nodes if node.op_type == 'Conv').input[0]
    above = []
    while name in made:
        name = made[name].input[0]
        above.append(made[name].op_type if name in made else 'input')
    # From the first convolution up: one quantisation, then plain arithmetic to the bytes.
    assert above[0] == 'QuantizeLinear'
    assert QUANTISERS.isdisjoint(above[1:])


def test_operator_set_and_metadata_stay_and_batches_are_of_any_size(
    single: Model, depth: ModelProto
) -> None:
    before = onnx.load(single.depth_path)
    assert list(depth.opset_import) == list(before.opset_import)
    assert list(depth.metadata_props) == list(before.metadata_props)
    assert depth.ir_version == before.ir_version
    assert all(node.domain == '' for node in depth.graph.node)
    assert list(depth.graph.input) == list(before.graph.input)
    assert list(depth.graph.output) == list(before.graph.output)
    images = frames(3, seed=5)
    alone = np.concatenate([run(depth, image=image[None]) for image in images])
    np.testing.assert_allclose(run(depth, image=images), alone, rtol=1e-4)


def test_answers_are_close_on_other_frames(single: Model, depth: ModelProto) -> None:
    images = frames(6, seed=9)
    expected = run(onnx.load(single.depth_path), image=images)
    difference = np.abs(run(depth, image=images) / expected - 1)
    assert 0 < difference.mean() < 0.03


def test_the_mean_error_of_the_last_convolution_is_gone(
    single: Model, depth: ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.concatenate([inputs['image'] for inputs in DEPTH_INPUTS])
    before = onnx.load(single.depth_path)
    expected = last_convolution(before, images)
    monkeypatch.setattr(int8_graph, 'correct_biases', lambda *_: None)
    errors = [
        abs(float(np.mean(last_convolution(model, images) - expected)))
        for model in (depth, to_int8(before, DEPTH_INPUTS))
    ]
    assert errors[0] < 0.1 * errors[1]


def last_convolution(model: ModelProto, images: np.ndarray) -> np.ndarray:
    part = ModelProto.FromString(model.SerializeToString())
    name = [node.output[0] for node in part.graph.node if node.op_type == 'Conv'][-1]
    del part.graph.output[:]
    part.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return run(part, image=images)


def test_corrected_convolutions_have_the_mean_answers_of_the_right_ones() -> None:
    """Two convolutions whose weights were rounded roughly, biases corrected by hand."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(4, 3, 1, 1)), rng.normal(size=(2, 4, 1, 1))]

    def chain(step: float) -> ModelProto:
        nodes, tensors, name = [], [], 'x'
        for i, weight in enumerate(weights):
            rough = np.round(weight / step) * step if step else weight
            tensors += [numpy_helper.from_array(rough.astype(np.float32), f'w{i}'),
                        numpy_helper.from_array(np.full(len(weight), 0.1, np.float32), f'b{i}')]
            nodes += [helper.make_node('Conv', [name, f'w{i}', f'b{i}'], [f'c{i}'], f'conv{i}'),
                      helper.make_node('Relu', [f'c{i}'], [f'r{i}'])]
            name = f'r{i}'
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes, 'g', [value('x', TensorProto.FLOAT, ['N', 3, 5, 5])],
            [value('c1', TensorProto.FLOAT, None)], tensors)  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
        model.ir_version = 10
        return model

    inputs = [{'x': rng.uniform(0, 1, (1, 3, 5, 5)).astype(np.float32)} for _ in range(4)]
    right, rough = chain(0.0), chain(0.6)
    x = np.concatenate([run_inputs['x'] for run_inputs in inputs])
    expected = run(right, x=x).mean((0, 2, 3))
    assert np.abs(run(rough, x=x).mean((0, 2, 3)) - expected).max() > 0.05
    correct_biases(right, rough, inputs)
    np.testing.assert_allclose(run(rough, x=x).mean((0, 2, 3)), expected, atol=1e-5)
    # The first is corrected by what rounding does to its own weights alone.
    mean_x = x.mean((0, 2, 3))
    error = (weights[0] - np.round(weights[0] / 0.6) * 0.6)[..., 0, 0] @ mean_x
    np.testing.assert_allclose(constants(rough)['b0'], 0.1 + error, atol=1e-5)


def test_a_graph_of_one_convolution_has_nothing_to_quantise() -> None:
    value = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.ones((1, 3, 1, 1), np.float32), 'w')
    graph = helper.make_graph(
        [helper.make_node('Conv', ['x', 'w'], ['y'])], 'g',
        [value('x', TensorProto.FLOAT, ['N', 3, 4, 4])],
        [value('y', TensorProto.FLOAT, None)], [weight])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)])
    with pytest.raises(ModelError, match='no convolution that another one follows'):
        to_int8(model, [{'x': np.zeros((1, 3, 4, 4), np.float32)}])
