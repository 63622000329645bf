"""Depth Pro's official file becomes a model folder."""

from dataclasses import dataclass, replace
from pathlib import Path

from depth_ros.backends.parity import ACCEPTED
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import Fit, ModelSpec, Precision, ResizeFilter, ScaleKind
from training.export.graphs import DepthProGraph
from training.export.model_folder import ExportReport, export_model
from training.networks.canonical import MAX_INVERSE_DEPTH
from training.networks.depth_pro import DepthProConfig
from training.official.depth_pro_files import PUBLISHED, holds_fov_head, read_official_depth_pro
from training.samples import render_samples
from training.state_files import read_weights_file

LICENCE = 'Apple Machine Learning Research Model licence (apple-amlr): research purposes only'
_FAMILY = 'depth_pro'
_NEAREST_M = 1.0 / MAX_INVERSE_DEPTH
# One: a forward pass of the published network takes a minute on a CPU.
_SAMPLES = 1


@dataclass(frozen=True)
class DepthProImport:
    """How an official file is read.

    fov_head: whether a field-of-view head, where the file has one, becomes part of the model: a
    third of its size, which cameras with camera_info do not need. max_depth_m: depth beyond is
    unknown; the network answers up to 10 km, where it means the sky, and was judged up to 200 m.
    network: whose file it is.
    """

    precision: Precision = Precision.FP32
    fov_head: bool = True
    max_depth_m: float = 200.0
    network: DepthProConfig = PUBLISHED

    def __post_init__(self) -> None:
        if not 1.0 <= self.max_depth_m <= 1e4:
            raise ConfigError(f'max_depth is {self.max_depth_m}; need 1 to 10000 m')


def import_depth_pro(file: Path, out: Path, settings: DepthProImport) -> ExportReport:
    """Reads `file` strictly, writes the model folder `out`.

    Raises ModelError for a file that is no official one or a graph that differs from torch.
    """
    contents = read_weights_file(file, mapped=True)
    fov_head = settings.fov_head and holds_fov_head(contents)
    del contents
    net = read_official_depth_pro(file, replace(settings.network, fov_head=fov_head)).eval()
    side = settings.network.image_px
    middle = (side - 1) / 2
    camera = Intrinsics(side, side, middle, middle, side, side)
    spec = _spec(settings, out.name, file.name)
    return export_model(DepthProGraph(net), None, spec, render_samples(camera, _SAMPLES), out)


def _spec(settings: DepthProImport, name: str, source: str) -> ModelSpec:
    side = settings.network.image_px
    return ModelSpec(
        name=name,
        family=_FAMILY,
        width=side,
        height=side,
        depth_width=side,
        depth_height=side,
        precision=settings.precision,
        min_depth=_NEAREST_M,
        max_depth=settings.max_depth_m,
        scale=ScaleKind.METRIC,
        scale_source='focal length',
        intrinsics=None,
        fit=Fit.STRETCH,
        resize_filter=ResizeFilter.BILINEAR,
        motion=None,
        licence=LICENCE,
        training_run=f'imported from the Depth Pro file {source}',
        tolerance=ACCEPTED[settings.precision],
    )
