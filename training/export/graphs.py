"""The graphs of a model folder around the networks, and their export to ONNX.

Input scaling, disparity to depth and the direction of motion are inside, so that every runtime
computes the same.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from depth_ros.model import ModelSpec
from training.geometry import disparity_to_depth, invert_motion
from training.networks.depth_net import DepthNet
from training.networks.pose_net import PoseNet

OPSET = 18


class DepthGraph(nn.Module):
    """uint8 [N, H, W, 3] -> depth float32 [N, h, w] in min_depth .. max_depth.

    A network unit of u metres is min_depth and max_depth multiplied by u: the answer scales
    exactly. finest is the decoder level that is returned: 0 the finest, 1 half its size, ...
    """

    def __init__(self, net: DepthNet, min_depth: float, max_depth: float, finest: int) -> None:
        super().__init__()
        self.net = net
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.finest = finest

    def forward(self, image: Tensor) -> Tensor:
        disparity = self.net(_to_unit_range(image), self.finest + 1, self.finest)[0]
        return disparity_to_depth(disparity.squeeze(1), self.min_depth, self.max_depth)


class PoseGraph(nn.Module):
    """previous, current uint8 [N, H, W, 3] -> float32 [N, 6], axis-angle and translation.

    The network states current_T_previous; the graph answers its inverse, previous_T_current, in
    which driving forward is +z. unit multiplies translations as it does depths.
    """

    def __init__(self, net: PoseNet, unit: float) -> None:
        super().__init__()
        self.net = net
        self.unit = unit

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        motion = self.net(_to_unit_range(previous), _to_unit_range(current))
        axis_angle, translation = invert_motion(*motion)
        return torch.cat([axis_angle, translation * self.unit], dim=1)


def _to_unit_range(image: Tensor) -> Tensor:
    # Floats first: TensorRT transposes no bytes.
    return image.float().permute(0, 3, 1, 2) / 255.0


@contextmanager
def ready_to_export(graph: nn.Module) -> Iterator[None]:
    """In evaluation mode on the CPU for a while; the networks go back to where they were."""
    training = [(module, module.training) for module in graph.modules()]
    device = next(graph.parameters()).device
    graph.eval().cpu()
    try:
        yield
    finally:
        graph.to(device)
        for module, was_training in training:
            module.training = was_training


def to_onnx(
    graph: nn.Module, inputs: Sequence[str], output: str, spec: ModelSpec
) -> onnx.ModelProto:
    """One graph in single precision with a dynamic batch, batch norms folded."""
    # A tensor of its own for each: the exporter takes one given twice for one input.
    examples = tuple(
        torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8) for _ in inputs
    )
    batch = torch.export.Dim('N', min=1, max=256)
    with ready_to_export(graph), _quiet():
        program = torch.onnx.export(
            graph,
            examples,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _drop_annotations(model)
    return model


def _drop_annotations(model: onnx.ModelProto) -> None:
    """Leave out the exporter's notes of where each node comes from: half a megabyte of paths."""
    graph = model.graph
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.ClearField('metadata_props')
        item.ClearField('doc_string')
    graph.ClearField('metadata_props')
    graph.ClearField('doc_string')
    graph.ClearField('value_info')


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's own progress and deprecation notes are not for the user."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)
