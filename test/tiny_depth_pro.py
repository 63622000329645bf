"""A tiny Depth Pro with the second implementation's random weights, and model folders of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import depth_pro_reference as reference
import graphs
import numpy as np

from depth_ros.backends.parity import ACCEPTED
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Fit, ModelSpec, Precision, ScaleKind
from training.export.graphs import DepthProGraph
from training.export.model_folder import export_model
from training.export.onnx_files import MAX_FILE_BYTES
from training.networks.depth_pro import DepthPro, DepthProConfig
from training.samples import SampleFrames

CONFIG = DepthProConfig(
    'test_vit', window_px=32, windows=(4, 2), latent_blocks=(1, 3), widths=(12, 20, 24), width=16
)
SIZES = reference.Sizes(
    embedded=64, blocks=6, heads=2, hidden=192, layer_scale=False, window_px=32, per_side=(4, 2),
    latent_blocks=(1, 3), widths=(12, 20, 24), width=16,
)  # fmt: skip
SIDE = CONFIG.image_px
SPEC = graphs.spec(
    family='depth_pro',
    width=SIDE,
    height=SIDE,
    depth_width=SIDE,
    depth_height=SIDE,
    min_depth=1e-4,
    max_depth=200.0,
    scale=ScaleKind.METRIC,
    fit=Fit.STRETCH,
    motion=None,
    tolerance=ACCEPTED[Precision.FP32],
)


def network(fov: bool = True) -> DepthPro:
    """Its depth is about 1 m where the focal length is the width, its field of view 60 degrees."""
    net = DepthPro(replace(CONFIG, fov_head=fov)).eval()
    net.load_state_dict(reference.random_state(replace(SIZES, fov=fov)))
    return net


def pictures(count: int, seed: int = 0) -> np.ndarray:
    """uint8 [count,SIDE,SIDE,3] of coarse blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, SIDE // 8, SIDE // 8, 3))
    return blocks.repeat(8, 1).repeat(8, 2).astype(np.uint8)


def cameras(*focals: float) -> np.ndarray:
    """float32 [n,4] of cameras with their axis through the middle."""
    middle = (SIDE - 1) / 2
    return np.array([(focal, focal, middle, middle) for focal in focals], np.float32)


def samples(count: int = 2) -> SampleFrames:
    images = pictures(count)
    return SampleFrames(images, images, images, cameras(*[float(SIDE)] * count))


def write_model(
    folder: Path, fov: bool = True, spec: ModelSpec = SPEC, max_file_bytes: int = MAX_FILE_BYTES
) -> Model:
    """Export the network."""
    graph = DepthProGraph(network(fov))
    export_model(graph, None, spec, samples(), folder, max_file_bytes)
    return Model.load(folder)
