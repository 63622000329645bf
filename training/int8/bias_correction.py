"""Takes the mean error of quantisation out of the biases.

A rounded weight errs by the same amount at every pixel; where its input has a mean, the channel
it feeds is shifted, and so is the depth. On lite0 this is half of all that eight bits lose.
Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
ICCV 2019, section 4.2, with means measured on frames instead of derived from batch norms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from depth_ros.backends.eight_bits import ort_settings
from training.export.onnx_graph import CONVOLUTION, needed_for
from training.int8.calibration import Inputs

# Means settle sooner than ranges.
_RUNS = 16
_FATAL_ONLY = 4


def correct_biases(single: ModelProto, quantised: ModelProto, inputs: Sequence[Inputs]) -> None:
    """Let every convolution of `quantised` have the mean answers of `single`, in place.

    One after the other in the order of execution, since each shifts what the next ones see.

    Args:
        single: every convolution has a name and, where the weights are constant, a bias.
        quantised: the same convolutions by name, their biases float constants.
        inputs: of the graphs, one dictionary a run.
    """
    chosen = inputs[:: max(1, len(inputs) // _RUNS)]
    biases = {tensor.name: tensor for tensor in quantised.graph.initializer}
    answers = {n.name: n.output[0] for n in single.graph.node if n.op_type == CONVOLUTION}
    expected = dict(zip(answers, _channel_means(single, list(answers.values()), chosen)))
    for node in quantised.graph.node:
        if node.op_type != CONVOLUTION or not biases.keys() & set(node.input[2:]):
            continue
        found = _channel_means(quantised, [node.output[0]], chosen)[0]
        tensor = biases[node.input[2]]
        bias = numpy_helper.to_array(tensor) + (expected[node.name] - found).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(bias, tensor.name))


def _channel_means(
    model: ModelProto, names: Sequence[str], inputs: Sequence[Inputs]
) -> list[np.ndarray]:
    """Mean over runs and pixels of inner tensors [N,C,H,W], float64 [C] each."""
    part = ModelProto()
    part.CopyFrom(model)
    # ONNX Runtime computes all that it is given, wanted or not.
    nodes = [model.graph.node[i] for i in sorted(needed_for(model.graph, names))]
    del part.graph.node[:], part.graph.output[:]
    part.graph.node.extend(nodes)
    part.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    # The runs are short: threads that spin between them take more time than they save.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    for name, value in ort_settings().items():
        options.add_session_config_entry(name, value)
    session = onnxruntime.InferenceSession(
        part.SerializeToString(), options, providers=['CPUExecutionProvider']
    )
    sums = [np.zeros(1)] * len(names)
    for run in inputs:
        answers = session.run(None, run)
        sums = [total + answer.mean((0, 2, 3), np.float64) for total, answer in zip(sums, answers)]
    return [total / len(inputs) for total in sums]
