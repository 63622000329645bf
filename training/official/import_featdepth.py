"""An official FeatDepth file becomes a model folder."""

from dataclasses import dataclass
from pathlib import Path

from depth_ros.backends.parity import ACCEPTED
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import Fit, ModelSpec, Precision, ResizeFilter, ScaleKind
from training.export.graphs import disparity_graphs
from training.export.model_folder import ExportReport, export_model
from training.official.featdepth_files import PUBLISHED, read_official_featdepth
from training.official.kitti_motion import kitti_motion
from training.samples import render_samples

# A stereo rig is 0.015 unit wide in training, whatever its real width: 36 metres a unit on KITTI.
NOMINAL_BASELINE = 0.015


@dataclass(frozen=True)
class FeatDepthImport:
    """How an official file is read, which says neither its size nor its camera.

    width, height: of the input that it was trained at. fx_norm, fy_norm: focal lengths of the
    training camera divided by image width and height. baseline_m: of the stereo rig trained
    with; None: trained without one. max_depth: of its range, which begins at 0.1.
    """

    precision: Precision = Precision.FP32
    width: int = 1024
    height: int = 320
    fx_norm: float = 0.58
    fy_norm: float = 1.92
    baseline_m: float | None = None
    max_depth: float = 100.0

    def __post_init__(self) -> None:
        for name in ('width', 'height'):
            value = getattr(self, name)
            if value < 32 or value % 32:
                raise ConfigError(f'{name} is {value}; need a multiple of 32')
        for name in ('fx_norm', 'fy_norm', 'baseline_m'):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 100.0:
                raise ConfigError(f'{name} is {value}; need a number between 0 and 100')
        if not PUBLISHED.min_depth < self.max_depth < 1e4:
            raise ConfigError(
                f'max_depth is {self.max_depth}; need a number between {PUBLISHED.min_depth} '
                'and 10000'
            )

    @property
    def unit_m(self) -> float | None:
        """Metres in one unit of the network; None: up to scale."""
        return None if self.baseline_m is None else self.baseline_m / NOMINAL_BASELINE


def import_featdepth(file: Path, out: Path, settings: FeatDepthImport) -> ExportReport:
    """Reads `file` strictly, writes the model folder `out`.

    Raises ModelError for a file that is no official model or a graph that differs from torch.
    """
    official = read_official_featdepth(file)
    camera = Intrinsics(
        settings.fx_norm * settings.width,
        settings.fy_norm * settings.height,
        0.5 * settings.width,
        0.5 * settings.height,
        settings.width,
        settings.height,
    )
    stride = official.depth_net.finest_stride
    spec = _spec(settings, camera, stride, out.name, file.name)
    graphs = disparity_graphs(
        official.depth_net, official.pose_net, spec, settings.unit_m or 1.0
    )
    return export_model(*graphs, spec, render_samples(camera), out)


def _spec(
    settings: FeatDepthImport, camera: Intrinsics, stride: int, name: str, source: str
) -> ModelSpec:
    unit = settings.unit_m or 1.0
    metric = settings.unit_m is not None
    return ModelSpec(
        name=name,
        family='featdepth',
        width=settings.width,
        height=settings.height,
        depth_width=settings.width // stride,
        depth_height=settings.height // stride,
        precision=settings.precision,
        min_depth=PUBLISHED.min_depth * unit,
        max_depth=settings.max_depth * unit,
        scale=ScaleKind.METRIC if metric else ScaleKind.UP_TO_SCALE,
        scale_source='stereo baseline' if metric else 'none',
        intrinsics=camera,
        fit=Fit.STRETCH,
        resize_filter=ResizeFilter.LANCZOS,
        motion=kitti_motion(metric),
        licence='unknown; ask who published the weights',
        training_run=f'imported from the FeatDepth file {source}',
        tolerance=ACCEPTED[settings.precision],
    )
