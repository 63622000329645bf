"""Makes an 8-bit ONNX graph of a single-precision one, with every quantisation written out (QDQ).

Everything from the first convolution to the last is quantised but the answers of the last: input
scaling and what follows (sigmoid, disparity to depth, averaging of motions) keep single precision.
Quantisation is symmetric, weights have a scale for every output channel and biases stay float:
what TensorRT takes, and ONNX Runtime makes integer kernels of.

The last convolution of a depth network has one channel of answers at the full size, which fits no
vector unit: in single precision it takes a fifth of lite0's time in OpenVINO, and an eighth of
that of ResNet-18 at 640x192. Eight bits into it change the median-scaled AbsRel on the kitchen by
less than 0.0001; eight bits out of it would make terraces of depth.

Measured on lite0 with 32 of the kitchen's first 280 frames, biases corrected, median relative
difference of depth on the last 70: 0.010 with ranges by minimum and maximum, 0.020 with those of
99.999 % of the values. Symmetric entropy calibration of ONNX Runtime ends at the same ranges as
minimum and maximum and takes several times as long. The encoder alone, depthwise convolutions
included, loses 0.005: no layer has to be left out.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from depth_ros.errors import ModelError
from training.export.onnx_graph import (
    CONVOLUTION,
    between,
    convolutions,
    followed_by_another,
)
from training.int8.bias_correction import correct_biases
from training.int8.calibration import Inputs

# Clip and Relu are here so that a convolution's answer has the range of what is left of it:
# without them lite0's AbsRel on the kitchen, not scaled, rises from 0.111 to 0.184.
QUANTISED_OPERATORS = (CONVOLUTION, 'Add', 'Mul', 'Concat', 'Resize', 'Pad', 'Clip', 'Relu',
                       'MaxPool')  # fmt: skip
_QUANTISERS = frozenset({'QuantizeLinear', 'DequantizeLinear'})


def to_int8(model: ModelProto, inputs: Sequence[Inputs]) -> ModelProto:
    """The same graph in 8 bits; inputs, outputs, opset and metadata stay.

    Args:
        model: in single precision.
        inputs: of the graph, for each run of the calibration; others than its own are ignored.

    Raises:
        ModelError: the graph has fewer than two convolutions in a row.
    """
    single = ModelProto()
    single.CopyFrom(model)
    _prepare(single)
    names = {value.name for value in single.graph.input}
    own = [{name: run[name] for name in names} for run in inputs]
    quantised = _quantise(single, own)
    _free_last_answers(quantised)
    correct_biases(single, quantised, own)
    _tidy(quantised, model)
    return quantised


def body(model: ModelProto) -> list[NodeProto]:
    """The nodes to quantise: convolutions and what lies on a way between them.

    Empty where no convolution follows another: of such a graph nothing is worth it.
    """
    graph = model.graph
    every = convolutions(graph)
    if not followed_by_another(graph, every):
        return []
    return [graph.node[i] for i in sorted(between(graph, every))]


def _prepare(model: ModelProto) -> None:
    """Name each node, and give each convolution a bias of its own, which can be corrected."""
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for i, node in enumerate(graph.node):
        node.name = f'{node.op_type}_{i}'
        if node.op_type != CONVOLUTION or node.input[1] not in constants:
            continue
        channels = constants[node.input[1]].dims[0]
        bias = np.zeros(channels, np.float32)
        if len(node.input) > 2 and node.input[2]:
            bias = numpy_helper.to_array(constants[node.input[2]])
        own = numpy_helper.from_array(bias, f'{node.name}_bias')
        graph.initializer.append(own)
        del node.input[2:]
        node.input.append(own.name)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _quantise(model: ModelProto, inputs: Sequence[Inputs]) -> ModelProto:
    chosen = [node.name for node in body(model) if node.op_type in QUANTISED_OPERATORS]
    if not chosen:
        raise ModelError('the graph has no convolution that another one follows: nothing to '
                         'quantise')
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / 'single.onnx', Path(folder) / 'int8.onnx'
        onnx.save(model, source)
        quantize_static(
            source, target, _Reader(inputs), QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED_OPERATORS),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
            calibrate_method=CalibrationMethod.MinMax,
            # Forced: before a nearest-neighbour enlargement, which makes four of each value.
            extra_options={'ActivationSymmetric': True, 'WeightSymmetric': True,
                           'QuantizeBias': False, 'ForceQuantizeNoInputCheck': True},
        )  # fmt: skip
        return onnx.load(target)


def _free_last_answers(model: ModelProto) -> None:
    """Let the convolutions that no other one follows answer in floats, in place."""
    graph = model.graph
    every = convolutions(graph)
    last = {graph.node[i].output[0] for i in every - followed_by_another(graph, every)}
    floats: dict[str, str] = {}
    kept = []
    for node in graph.node:
        names = [floats.get(name, name) for name in node.input]
        if node.op_type in _QUANTISERS and names[0] in last:
            floats[node.output[0]] = names[0]
            continue
        del node.input[:]
        node.input.extend(names)
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


class _Reader(CalibrationDataReader):
    """Hands ONNX Runtime one run's inputs after the other."""

    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._remaining = iter(inputs)

    def get_next(self) -> Inputs | None:
        return next(self._remaining, None)


def _tidy(model: ModelProto, original: ModelProto) -> None:
    """Only the original's metadata and operator sets, no shapes that hold for one batch size."""
    del model.metadata_props[:], model.opset_import[:], model.graph.value_info[:]
    model.metadata_props.extend(original.metadata_props)
    model.opset_import.extend(original.opset_import)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.ClearField('doc_string')
    onnx.checker.check_model(model, full_check=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """What the quantiser logs is advice on other ways to call it."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
