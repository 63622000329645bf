"""Small ONNX graphs with known answers, and model folders of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import (
    METADATA_KEY,
    Fit,
    ModelSpec,
    MotionSpec,
    Precision,
    ResizeFilter,
    ScaleKind,
)

WIDTH, HEIGHT = 64, 48
FORWARD = (0.0, 0.0, 0.0, 0.0, 0.0, 0.1)
"""A motion of 0.1 straight ahead."""


def spec(**changes) -> ModelSpec:
    """A metric model of 64 x 48 pixels that is tied to no camera, with a pose network."""
    plain = ModelSpec(
        name='tiny',
        family='test',
        width=WIDTH,
        height=HEIGHT,
        depth_width=WIDTH,
        depth_height=HEIGHT,
        precision=Precision.FP32,
        min_depth=0.1,
        max_depth=100.0,
        scale=ScaleKind.METRIC,
        scale_source='depth truth',
        intrinsics=None,
        fit=Fit.STRETCH,
        resize_filter=ResizeFilter.AREA,
        motion=MotionSpec(
            interval_s=0.2,
            translation=0.1,
            rotation_rad=0.05,
            sigma_translation=0.1,
            sigma_rotation_rad=0.01,
        ),
        licence='Apache-2.0',
        training_run='none',
        tolerance=1e-3,
    )
    return dataclasses.replace(plain, **changes)


def training_camera(focal: float = 50.0) -> Intrinsics:
    """A camera in the pixels of the tiny network."""
    return Intrinsics(focal, focal, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT)


def depth_graph(model_spec: ModelSpec, per_grey: float = 0.02) -> onnx.ModelProto:
    """depth = `per_grey` * mean of the pixel's three channels, at least min_depth."""
    rows, columns = model_spec.height, model_spec.width
    nodes = [
        helper.make_node('Cast', ['image'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['float', 'last_axis'], ['grey'], keepdims=0),
        helper.make_node('Mul', ['grey', 'per_grey'], ['scaled']),
        helper.make_node('Max', ['scaled', 'min_depth'], ['depth']),
    ]
    constants = {
        'last_axis': np.array([3], np.int64),
        'per_grey': np.float32(per_grey),
        'min_depth': np.float32(model_spec.min_depth),
    }
    image = helper.make_tensor_value_info('image', TensorProto.UINT8, ['N', rows, columns, 3])
    depth = helper.make_tensor_value_info('depth', TensorProto.FLOAT, ['N', rows, columns])
    return _model(nodes, [image], [depth], constants)


def blurred(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with the mean over 7 x 7 pixels of its depth as the answer."""
    nodes = graph.graph.node
    nodes[-1].output[0] = 'sharp'
    axis = onnx.numpy_helper.from_array(np.array([1]), 'channel_axis')
    graph.graph.initializer.append(axis)
    nodes.extend([
        helper.make_node('Unsqueeze', ['sharp', 'channel_axis'], ['channel']),
        helper.make_node('AveragePool', ['channel'], ['soft'], kernel_shape=[7, 7],
                         pads=[3, 3, 3, 3]),
        helper.make_node('Squeeze', ['soft', 'channel_axis'], ['depth']),
    ])
    return graph


def canonical_graph(
    model_spec: ModelSpec, fov_per_grey: float | None = None
) -> onnx.ModelProto:
    """depth = fx / width * 0.02 * grey, fx of the input `intrinsics`, for cameras of any kind.

    With fov_per_grey also fov_deg = fov_per_grey * mean grey, and fx follows from it where the
    intrinsics have 0.
    """
    rows, columns = model_spec.height, model_spec.width
    nodes = [
        helper.make_node('Cast', ['image'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['float', 'last_axis'], ['grey'], keepdims=0),
        helper.make_node('Mul', ['grey', 'per_grey'], ['canonical']),
        helper.make_node('Gather', ['intrinsics', 'first'], ['fx'], axis=1),
        helper.make_node('Div', ['fx', 'width'], ['told']),
        helper.make_node('Reshape', ['told' if fov_per_grey is None else 'used', 'one_each'],
                         ['ratio']),
        helper.make_node('Mul', ['ratio', 'canonical'], ['depth']),
    ]  # fmt: skip
    constants: dict[str, np.ndarray | np.float32] = {
        'last_axis': np.array([3], np.int64),
        'per_grey': np.float32(0.02),
        'first': np.array([0], np.int64),
        'width': np.float32(columns),
        'one_each': np.array([-1, 1, 1], np.int64),
    }
    outputs = [helper.make_tensor_value_info('depth', TensorProto.FLOAT, ['N', rows, columns])]
    if fov_per_grey is not None:
        nodes[5:5] = [
            helper.make_node('ReduceMean', ['grey', 'pixels'], ['mean'], keepdims=0),
            helper.make_node('Mul', ['mean', 'fov_per_grey'], ['fov_deg']),
            helper.make_node('Mul', ['fov_deg', 'half_radian'], ['half']),
            helper.make_node('Tan', ['half'], ['tangent']),
            helper.make_node('Div', ['one_half', 'tangent'], ['own']),
            helper.make_node('Unsqueeze', ['own', 'axis_one'], ['own_column']),
            helper.make_node('Greater', ['fx', 'zero'], ['known']),
            helper.make_node('Where', ['known', 'told', 'own_column'], ['used']),
        ]
        constants |= {
            'pixels': np.array([1, 2], np.int64),
            'fov_per_grey': np.float32(fov_per_grey),
            'half_radian': np.float32(np.pi / 360.0),
            'one_half': np.float32(0.5),
            'axis_one': np.array([1], np.int64),
            'zero': np.float32(0.0),
        }
        outputs.append(helper.make_tensor_value_info('fov_deg', TensorProto.FLOAT, ['N']))
    inputs = [
        helper.make_tensor_value_info('image', TensorProto.UINT8, ['N', rows, columns, 3]),
        helper.make_tensor_value_info('intrinsics', TensorProto.FLOAT, ['N', 4]),
    ]
    return _model(nodes, inputs, outputs, constants)


RAISING_GREY, GREEDY_GREY, HANGING_GREY = 255, 254, 253
RAISING_MEAN = 150
_FOREVER = 1 << 40


def fragile_graph(model_spec: ModelSpec) -> onnx.ModelProto:
    """As depth_graph, but the runtime raises where any picture is all white, and is asked for four
    petabytes where one is all nearly so."""
    graph = depth_graph(model_spec)
    inner = graph.graph
    inner.node[-1].output[0] = 'sound'
    inner.node.extend([
        helper.make_node('ReduceMin', ['float', 'pixels'], ['darkest_of_each'], keepdims=0),
        helper.make_node('ReduceMax', ['darkest_of_each'], ['darkest'], keepdims=0),
        helper.make_node('Equal', ['darkest', 'raising'], ['raises']),
        helper.make_node('Cast', ['raises'], ['index'], to=TensorProto.INT64),
        helper.make_node('Gather', ['zeros', 'index'], ['nothing']),  # of zeros there is one
        helper.make_node('Equal', ['darkest', 'greedy'], ['takes'], name='GreedyEqual'),
        helper.make_node('Cast', ['takes'], ['times'], to=TensorProto.INT64),
        helper.make_node('Mul', ['times', 'many'], ['taken']),
        helper.make_node('Add', ['taken', 'one'], ['count']),
        helper.make_node('Expand', ['zeros', 'count'], ['plenty']),
        helper.make_node('ReduceMax', ['plenty'], ['little'], keepdims=0),
        helper.make_node('Add', ['nothing', 'little'], ['both']),
        helper.make_node('Add', ['sound', 'both'], ['depth']),
    ])
    constants = {
        'pixels': np.array([1, 2, 3], np.int64),
        'raising': np.float32(RAISING_GREY),
        'greedy': np.float32(GREEDY_GREY),
        'zeros': np.zeros(1, np.float32),
        'many': np.array([1 << 50], np.int64),
        'one': np.array([1], np.int64),
    }
    inner.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in constants.items())
    return graph


def hanging_graph(model_spec: ModelSpec) -> onnx.ModelProto:
    """As depth_graph, but a picture that is all HANGING_GREY takes for ever."""
    graph = depth_graph(model_spec)
    inner = graph.graph
    inner.node[-1].output[0] = 'sound'
    value, flag = helper.make_tensor_value_info, TensorProto.BOOL
    body = helper.make_graph(
        [
            helper.make_node('MatMul', ['before', 'unit'], ['after']),
            helper.make_node('Identity', ['go'], ['go_on']),
        ],
        'product',
        [
            value('turn', TensorProto.INT64, []),
            value('go', flag, []),
            value('before', TensorProto.FLOAT, [64, 64]),
        ],
        [value('go_on', flag, []), value('after', TensorProto.FLOAT, [64, 64])],
    )
    inner.node.extend([
        helper.make_node('ReduceMin', ['float', 'all'], ['darkest'], keepdims=0),
        helper.make_node('Equal', ['darkest', 'hanging'], ['hangs']),
        helper.make_node('Where', ['hangs', 'forever', 'never'], ['turns']),
        helper.make_node('Loop', ['turns', 'true', 'unit'], ['product'], body=body),
        helper.make_node('ReduceMean', ['product', 'both'], ['mean'], keepdims=0),
        helper.make_node('Mul', ['mean', 'nought'], ['nothing']),
        helper.make_node('Add', ['sound', 'nothing'], ['depth']),
    ])
    constants = {
        'all': np.array([0, 1, 2, 3], np.int64),
        'both': np.array([0, 1], np.int64),
        'hanging': np.float32(HANGING_GREY),
        'never': np.array(0, np.int64),
        'forever': np.array(_FOREVER, np.int64),
        'true': np.array(True),
        'unit': np.eye(64, dtype=np.float32),
        'nought': np.float32(0.0),
    }
    inner.initializer.extend(onnx.numpy_helper.from_array(np.asarray(v), k)
                             for k, v in constants.items())  # fmt: skip
    return graph


def flat_depth_graph(model_spec: ModelSpec, profile: np.ndarray) -> onnx.ModelProto:
    """Depth `profile` [h,w] whatever the image shows."""
    nodes = [
        helper.make_node('Cast', ['image'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['float', 'all_axes'], ['grey'], keepdims=1),
        helper.make_node('Mul', ['grey', 'zero'], ['nothing']),
        helper.make_node('Squeeze', ['nothing', 'last_axis'], ['zeros']),
        helper.make_node('Add', ['zeros', 'profile'], ['depth']),
    ]
    constants = {
        'all_axes': np.array([1, 2, 3], np.int64),
        'last_axis': np.array([3], np.int64),
        'zero': np.float32(0.0),
        'profile': profile.astype(np.float32)[None],
    }
    shape = ['N', model_spec.height, model_spec.width, 3]
    image = helper.make_tensor_value_info('image', TensorProto.UINT8, shape)
    depth = helper.make_tensor_value_info('depth', TensorProto.FLOAT, ['N', *profile.shape])
    return _model(nodes, [image], [depth], constants)


def add_work(
    graph: onnx.ModelProto, size: int, times: int = 1, dearer_together: bool = False
) -> None:
    """Let a depth graph multiply matrices of `size` first, which changes nothing.

    Args:
        graph: with the input `image` and the output `depth`.
        size: rows and columns; 512 take some 2 ms of one core, and eight times as long when twice
            as many. Where a test wants together to be chosen, take no less: a fraction of a
            millisecond is lost among the times of all else.
        times: how often.
        dearer_together: once for each pair of frames of a batch, so that three together cost nine
            times as much as one on any computer; else a batch costs as much as one frame.
    """
    inner = graph.graph
    axes = [1, 2, 3] if dearer_together else [0, 1, 2, 3]
    constants = {
        'work_axes': np.array(axes, np.int64),
        'work_zero': np.float32(0.0),
        'work_rows': np.array([-1, 1, 1, 1], np.int64),
        'work_columns': np.array([1, -1, 1, 1], np.int64),
        'work_frames': np.array([-1, 1, 1], np.int64),
        'work_matrix': np.eye(size, dtype=np.float32)[None, None],
    }
    nodes = [
        helper.make_node('Cast', ['image'], ['work_image'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMax', ['work_image', 'work_axes'], ['work_max'], keepdims=1),
        helper.make_node('Mul', ['work_max', 'work_zero'], ['work_zeros']),
        helper.make_node('Reshape', ['work_zeros', 'work_rows'], ['work_of_one']),
        helper.make_node('Reshape', ['work_zeros', 'work_columns'], ['work_of_other']),
        helper.make_node('Add', ['work_of_one', 'work_of_other'], ['work_none']),
        helper.make_node('Add', ['work_matrix', 'work_none'], ['work_0']),
    ]
    for step in range(times):
        names = [f'work_{step}', 'work_0']
        nodes.append(helper.make_node('MatMul', names, [f'work_{step + 1}']))
    last = f'work_{times}'
    constants['work_inner'] = np.array([1, 2, 3], np.int64)
    nodes += [
        helper.make_node('ReduceMean', [last, 'work_inner'], ['work_mean'], keepdims=1),
        helper.make_node('Mul', ['work_mean', 'work_zero'], ['work_scalars']),
        helper.make_node('Reshape', ['work_scalars', 'work_frames'], ['work_done']),
    ]
    final = inner.node[-1]
    final.output[0] = 'depth_before_work'
    nodes.append(helper.make_node('Add', ['depth_before_work', 'work_done'], ['depth']))
    inner.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()
    )
    inner.node.extend(nodes)


def pose_graph(model_spec: ModelSpec, motion=FORWARD) -> onnx.ModelProto:
    """motion = the constant `motion` whatever the images show."""
    nodes = [
        helper.make_node('Concat', ['previous', 'current'], ['both'], axis=3),
        helper.make_node('Cast', ['both'], ['float'], to=TensorProto.FLOAT),
        helper.make_node('ReduceMean', ['float', 'pixels'], ['mean'], keepdims=0),
        helper.make_node('Mul', ['mean', 'zero'], ['zeros']),
        helper.make_node('Add', ['zeros', 'constant'], ['motion']),
    ]
    constants = {
        'pixels': np.array([1, 2], np.int64),
        'zero': np.float32(0.0),
        'constant': np.asarray(motion, np.float32)[None],
    }
    shape = ['N', model_spec.height, model_spec.width, 3]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, shape)
        for name in ('previous', 'current')
    ]
    output = helper.make_tensor_value_info('motion', TensorProto.FLOAT, ['N', 6])
    return _model(nodes, inputs, [output], constants)


def fragile_pose_graph(model_spec: ModelSpec) -> onnx.ModelProto:
    """As pose_graph, but the runtime raises where the two pictures are brighter than
    RAISING_MEAN."""
    graph = pose_graph(model_spec)
    inner = graph.graph
    inner.node[-1].output[0] = 'sound'
    inner.node.extend([
        helper.make_node('ReduceMean', ['float'], ['brightness'], keepdims=0),
        helper.make_node('Greater', ['brightness', 'raising'], ['raises']),
        helper.make_node('Cast', ['raises'], ['index'], to=TensorProto.INT64),
        helper.make_node('Gather', ['zero_alone', 'index'], ['nothing']),
        helper.make_node('Add', ['sound', 'nothing'], ['motion']),
    ])
    constants = {'raising': np.float32(RAISING_MEAN), 'zero_alone': np.zeros(1, np.float32)}
    inner.initializer.extend(onnx.numpy_helper.from_array(np.asarray(v), k)
                             for k, v in constants.items())  # fmt: skip
    return graph


def write_model(
    folder: Path,
    model_spec: ModelSpec | None = None,
    depth: onnx.ModelProto | None = None,
    motion=FORWARD,
    pose: onnx.ModelProto | None = None,
) -> Model:
    """Write a model folder of small graphs and load it."""
    model_spec = model_spec or spec()
    folder.mkdir(parents=True, exist_ok=True)
    graph = depth or depth_graph(model_spec)
    helper.set_model_props(graph, {METADATA_KEY: model_spec.to_json()})
    onnx.save(graph, folder / 'depth.onnx')
    if model_spec.motion is not None:
        onnx.save(pose or pose_graph(model_spec, motion), folder / 'pose.onnx')
    return Model.load(folder)


def _model(nodes, inputs, outputs, constants) -> onnx.ModelProto:
    initializers = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, 'tiny', inputs, outputs, initializers)
    opset = helper.make_opsetid('', 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)
