"""The graphs of a model folder around the networks, and their export to ONNX.

Input scaling, disparity to depth and the direction of motion are inside, so that every runtime
computes the same.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import torch
from onnxscript import opset18 as opset
from torch import Tensor, nn

from depth_ros.errors import ModelError
from depth_ros.model_folder.spec import ModelSpec
from training.export.onnx_files import load_structure
from training.geometry import disparity_to_depth, invert_motion
from training.losses.depth_balanced import DepthBalancedLoss
from training.networks.canonical import canonical_to_depth, focal_of_fov
from training.networks.den import Den
from training.networks.depth_net import SCALES, DepthNet
from training.networks.depth_pro import DepthPro
from training.networks.pose_net import PoseNet

OPSET = 18
_ATTENTION = torch.ops.aten.scaled_dot_product_attention.default


class Graph(nn.Module):
    """What becomes one ONNX file: forward takes `inputs` and answers `outputs`, by position."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class DepthGraph(Graph):
    """uint8 [N, H, W, 3] -> depth float32 [N, h, w] in min_depth .. max_depth.

    A network unit of u metres is min_depth and max_depth multiplied by u: the answer scales
    exactly. finest is the decoder level that is returned: 0 the finest, 1 half its size, ...
    """

    inputs = ('image',)
    outputs = ('depth',)

    def __init__(self, net: DepthNet, min_depth: float, max_depth: float, finest: int) -> None:
        super().__init__()
        self.net = net
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.finest = finest

    def forward(self, image: Tensor) -> Tensor:
        disparity = self.net(_to_unit_range(image), self.finest + 1, self.finest)[0]
        return disparity_to_depth(disparity.squeeze(1), self.min_depth, self.max_depth)


class DepthProGraph(Graph):
    """uint8 [N, S, S, 3] and fx, fy, cx, cy float32 [N, 4] in its pixels -> metres [N, S, S].

    Depth is f / (S C), with C what the network tells, within 1e-4 to 1e4 m: where C is near 0,
    as in the sky, it ends there. A network with a field-of-view head also answers the horizontal
    field of view, float32 [N] in degrees, and takes the focal length from it where fx is 0.
    """

    inputs = ('image', 'intrinsics')

    def __init__(self, net: DepthPro) -> None:
        super().__init__()
        self.net = net
        self.outputs = ('depth',) if net.fov is None else ('depth', 'fov_deg')

    def forward(self, image: Tensor, intrinsics: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        canonical, fov_deg = self.net(_to_unit_range(image))
        width, focal = self.net.config.image_px, intrinsics[:, 0]
        if fov_deg is None:
            return canonical_to_depth(canonical.squeeze(1), focal, width)
        focal = torch.where(focal > 0, focal, focal_of_fov(fov_deg, width))
        return canonical_to_depth(canonical.squeeze(1), focal, width), fov_deg


class DenGraph(Graph):
    """uint8 [N, S, S, 3] -> metres [N, 25, 32] in min_depth .. max_depth."""

    inputs = ('image',)
    outputs = ('depth',)

    def __init__(
        self, net: Den, loss: DepthBalancedLoss, min_depth: float, max_depth: float
    ) -> None:
        """loss: what the network was trained by, which knows what its answers are."""
        super().__init__()
        self.net = net
        self.loss = loss
        self.min_depth, self.max_depth = float(min_depth), float(max_depth)

    def forward(self, image: Tensor) -> Tensor:
        depth_m = self.loss.depth_m(self.net(_to_unit_range(image)))
        return depth_m.clamp(self.min_depth, self.max_depth)


class PoseGraph(Graph):
    """previous, current uint8 [N, H, W, 3] -> float32 [N, 6], axis-angle and translation.

    The network states current_T_previous; the graph answers its inverse, previous_T_current, in
    which driving forward is +z. unit multiplies translations as it does depths.
    """

    inputs = ('previous', 'current')
    outputs = ('motion',)

    def __init__(self, net: PoseNet, unit: float) -> None:
        super().__init__()
        self.net = net
        self.unit = unit

    def forward(self, previous: Tensor, current: Tensor) -> Tensor:
        motion = self.net(_to_unit_range(previous), _to_unit_range(current))
        axis_angle, translation = invert_motion(*motion)
        return torch.cat([axis_angle, translation * self.unit], dim=1)


def disparity_graphs(
    depth_net: DepthNet, pose_net: PoseNet | None, spec: ModelSpec, unit: float = 1.0
) -> tuple[DepthGraph, PoseGraph | None]:
    """The graphs of a disparity network and its pose network, for export_model.

    The depth range of the spec is the network's multiplied by unit, the number of spec units
    that one unit of the networks is (36 where a network's 0.1 .. 100 means 3.6 .. 3600 m).

    Raises ModelError where the decoder does not answer at the spec's size.
    """
    finest = _decoder_level(spec, depth_net.finest_stride)
    depth_graph = DepthGraph(depth_net, spec.min_depth, spec.max_depth, finest)
    return depth_graph, PoseGraph(pose_net, unit) if pose_net is not None else None


def _decoder_level(spec: ModelSpec, finest_stride: int) -> int:
    for level in range(SCALES):
        stride = finest_stride << level
        if (spec.depth_width * stride, spec.depth_height * stride) == (spec.width, spec.height):
            return level
    strides = ', '.join(f'1/{finest_stride << level}' for level in range(SCALES))
    raise ModelError(
        f'depth of {spec.depth_width}x{spec.depth_height} from {spec.width}x{spec.height}; '
        f'the decoder answers at {strides} of the size'
    )


def _to_unit_range(image: Tensor) -> Tensor:
    # Floats first: TensorRT transposes no bytes.
    return image.float().permute(0, 3, 1, 2) / 255.0


@contextmanager
def ready_to_export(graph: nn.Module) -> Iterator[None]:
    """In evaluation mode on the CPU for a while; the networks go back to where they were."""
    training = [(module, module.training) for module in graph.modules()]
    tensors = chain(graph.parameters(), graph.buffers())
    device = next((tensor.device for tensor in tensors), torch.device('cpu'))
    graph.eval().cpu()
    try:
        yield
    finally:
        graph.to(device)
        for module, was_training in training:
            module.training = was_training


def to_onnx(graph: Graph, spec: ModelSpec, folder: Path | None = None) -> onnx.ModelProto:
    """One graph in single precision with a dynamic batch, batch norms folded.

    folder: takes a file of the large weights, which are then not copied into the graph; None:
    they are.
    """
    # A tensor of its own for each: the exporter takes one given twice for one input.
    examples = {name: _example(name, spec) for name in graph.inputs}
    return module_to_onnx(graph, examples, graph.outputs, folder)


def module_to_onnx(
    module: nn.Module,
    examples: Mapping[str, Tensor],
    outputs: Sequence[str],
    folder: Path | None = None,
) -> onnx.ModelProto:
    """The same of any module.

    examples: what it takes, by name, in batches of 2. outputs: names of what it answers.
    """
    batch = torch.export.Dim('N', min=1, max=256)
    with ready_to_export(module), _quiet():
        program = torch.onnx.export(
            module,
            tuple(examples.values()),
            input_names=list(examples),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in examples),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
            custom_translation_table={_ATTENTION: _attention},
        )
    assert program is not None
    if folder is None:
        model = program.model_proto
    else:
        path = folder / f'.{outputs[0]}.onnx'
        onnx_ir.save(program.model, path, external_data=f'{path.name}.data')
        model = load_structure(path)
        path.unlink()
    _drop_annotations(model)
    return model


def _attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """scaled_dot_product_attention of [N,heads,tokens,C] as runtimes know it to fuse it.

    The exporter's own form transposes the keys by shapes that it computes on the way.
    """
    if attn_mask is not None or is_causal or enable_gqa:
        raise ModelError('attention with a mask or shared heads cannot be exported')
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = opset.MatMul(
        opset.Mul(query, opset.Constant(value_float=factor)),
        opset.Transpose(key, perm=[0, 1, 3, 2]),
    )
    return opset.MatMul(opset.Softmax(scores, axis=-1), value)


def _example(name: str, spec: ModelSpec) -> Tensor:
    if name == 'intrinsics':
        return torch.ones(2, 4)
    return torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8)


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
