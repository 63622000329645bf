"""A model that computes nothing: what is left is the node's own work."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import METADATA_KEY

_OPSET, _IR_VERSION = 18, 9
_NEAR_M, _FAR_M = 1.0, 10.0


def write_idle_model(folder: Path, like: Model) -> Model:
    """Write a model of the inputs and outputs of `like` that answers constants, and load it.

    Its depth falls from the top of the picture to the bottom, as that of a floor does; its motion
    is the typical one, straight ahead.
    """
    folder.mkdir()
    spec = dataclasses.replace(like.spec, name='idle', family='none', training_run='none')
    inverse = np.linspace(1 / _FAR_M, 1 / _NEAR_M, spec.depth_height, dtype=np.float32)
    depth = np.tile(1 / inverse[:, None], (1, spec.depth_width))
    picture = [spec.height, spec.width, 3]
    graph = _constant_graph({'image': picture}, 'depth', depth)
    helper.set_model_props(graph, {METADATA_KEY: spec.to_json()})
    onnx.save(graph, str(folder / 'depth.onnx'))
    if spec.motion is not None:
        motion = np.array([0.0, 0.0, 0.0, 0.0, 0.0, spec.motion.translation], np.float32)
        pair = {'previous': picture, 'current': picture}
        onnx.save(_constant_graph(pair, 'motion', motion), str(folder / 'pose.onnx'))
    return Model.load(folder)


def _constant_graph(
    inputs: dict[str, list[int]], output: str, answer: np.ndarray
) -> onnx.ModelProto:
    """`answer` for each of N frames, whose number is all that is read of the inputs."""
    names = list(inputs)
    nodes = [helper.make_node('Shape', [name], [f'shape_{name}'], end=1) for name in names]
    nodes += [
        helper.make_node('Max', [f'shape_{name}' for name in names], ['frames']),
        helper.make_node('Concat', ['frames', 'rest'], ['shape'], axis=0),
        helper.make_node('Expand', ['answer', 'shape'], [output]),
    ]
    constants = {'rest': np.array(answer.shape, np.int64), 'answer': answer[None]}
    graph = helper.make_graph(
        nodes,
        'idle',
        [
            helper.make_tensor_value_info(name, TensorProto.UINT8, ['N', *shape])
            for name, shape in inputs.items()
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ['N', *answer.shape])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid('', _OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
