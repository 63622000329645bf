"""An official Monodepth2 folder becomes a model folder."""

from dataclasses import dataclass
from pathlib import Path

from depth_ros.backends.parity import ACCEPTED
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import Fit, ModelSpec, Precision, ResizeFilter, ScaleKind
from training.export.graphs import disparity_graphs
from training.export.model_folder import ExportReport, export_model
from training.official.kitti_motion import kitti_motion
from training.official.monodepth2_files import OfficialModel, read_official
from training.samples import render_samples

# A stereo rig is 0.1 unit wide in training, whatever its real width.
_NOMINAL_BASELINE = 0.1
_KITTI_BASELINE_M = 0.54
_MIN_DEPTH, _MAX_DEPTH = 0.1, 100.0
LICENCE = 'Monodepth2 licence (Niantic): non-commercial use only'


@dataclass(frozen=True)
class Monodepth2Import:
    """How an official folder is read.

    fx_norm, fy_norm: focal lengths of the training camera divided by image width and height.
    baseline_m: of the stereo rig trained with; None: KITTI's for stereo models.
    """

    precision: Precision = Precision.FP32
    fx_norm: float = 0.58
    fy_norm: float = 1.92
    baseline_m: float | None = None

    def __post_init__(self) -> None:
        for name in ('fx_norm', 'fy_norm', 'baseline_m'):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 100.0:
                raise ConfigError(f'{name} is {value}; need a number between 0 and 100')


def import_monodepth2(folder: Path, out: Path, settings: Monodepth2Import) -> ExportReport:
    """Reads `folder` strictly, writes the model folder `out`.

    Models trained with a stereo rig are metric: baseline / 0.1 metres a unit, 5.4 on KITTI.
    Others are up to scale. Raises ModelError for a folder that is not official or a graph that
    differs from torch, ConfigError for a baseline where no stereo rig was used.
    """
    official = read_official(folder)
    if settings.baseline_m is not None and not official.stereo:
        raise ConfigError(f'{folder} was trained without a stereo rig; it has no baseline')
    camera = Intrinsics(
        settings.fx_norm * official.width,
        settings.fy_norm * official.height,
        0.5 * official.width,
        0.5 * official.height,
        official.width,
        official.height,
    )
    unit = 1.0
    if official.stereo:
        unit = (settings.baseline_m or _KITTI_BASELINE_M) / _NOMINAL_BASELINE
    spec = _spec(official, camera, unit, out.name, folder.name, settings.precision)
    graphs = disparity_graphs(official.depth_net, official.pose_net, spec, unit)
    return export_model(*graphs, spec, render_samples(camera), out)


def _spec(
    official: OfficialModel,
    camera: Intrinsics,
    unit: float,
    name: str,
    source: str,
    precision: Precision,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        family='monodepth2',
        width=official.width,
        height=official.height,
        depth_width=official.width,
        depth_height=official.height,
        precision=precision,
        min_depth=_MIN_DEPTH * unit,
        max_depth=_MAX_DEPTH * unit,
        scale=ScaleKind.METRIC if official.stereo else ScaleKind.UP_TO_SCALE,
        scale_source='stereo baseline' if official.stereo else 'none',
        intrinsics=camera,
        fit=Fit.STRETCH,
        resize_filter=ResizeFilter.LANCZOS,
        motion=kitti_motion(official.stereo) if official.pose_net is not None else None,
        licence=LICENCE,
        training_run=f'imported from the Monodepth2 folder {source}',
        tolerance=ACCEPTED[precision],
    )
