"""Small ONNX graphs with known answers, and model folders of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from depth_ros.camera import Intrinsics
from depth_ros.model import (
    METADATA_KEY,
    Fit,
    Model,
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
    return _model(nodes, [image], depth, constants)


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
    return _model(nodes, [image], depth, constants)


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
    return _model(nodes, inputs, output, constants)


def write_model(
    folder: Path,
    model_spec: ModelSpec | None = None,
    depth: onnx.ModelProto | None = None,
    motion=FORWARD,
) -> Model:
    """Write a model folder of small graphs and load it."""
    model_spec = model_spec or spec()
    folder.mkdir(parents=True, exist_ok=True)
    graph = depth or depth_graph(model_spec)
    helper.set_model_props(graph, {METADATA_KEY: model_spec.to_json()})
    onnx.save(graph, folder / 'depth.onnx')
    if model_spec.motion is not None:
        onnx.save(pose_graph(model_spec, motion), folder / 'pose.onnx')
    return Model.load(folder)


def _model(nodes, inputs, output, constants) -> onnx.ModelProto:
    initializers = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, 'tiny', inputs, [output], initializers)
    opset = helper.make_opsetid('', 18)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)
