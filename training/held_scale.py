"""The metres of a model, held while it is refined on bags that tell none.

From images alone depth is learnt up to a factor, which drifts. The model that the run begins with
knows it: at the end the depth of the same frames is compared with what it was at the start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from depth_ros.errors import ConfigError, DepthRosError, ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.system.whole_files import write_whole
from training.callbacks import weights_of_run
from training.data.batch import Batch
from training.run import CONFIG_FILE, read_run_config
from training.tasks.self_supervised import SelfSupervisedTask

_FILE = 'held_scale.json'


@dataclass(frozen=True)
class HeldScale:
    """What the networks knew of metres when the run began.

    Attributes:
        unit_m: metres in one of their units.
        source: where the model says that its metres come from.
        log_depths: logarithm of each frame's median depth, in units.
    """

    unit_m: float
    source: str
    log_depths: tuple[float, ...]

    def unit_of(self, log_depths: np.ndarray) -> float:
        """Metres in a unit of networks that now see these depths on the same frames."""
        return self.unit_m * float(np.exp(np.median(np.array(self.log_depths) - log_depths)))


def measure_log_depths(task: SelfSupervisedTask, batches: Iterable[Batch]) -> np.ndarray:
    """Logarithm of each frame's median depth in units of the networks, as exported, [n]."""
    rows = []
    was_training = task.training
    task.eval()
    with torch.no_grad(), task.objective.single_precision():
        for batch in batches:
            depth = task.terms(Batch(*(field.to(task.device) for field in batch))).depth_m
            rows.append(depth.flatten(1).median(1).values.log().double().cpu().numpy())
    task.train(was_training)
    return np.concatenate(rows)


def hold_scale(
    task: SelfSupervisedTask,
    batches: Iterable[Batch],
    source: Path,
    min_depth: float,
    workdir: Path,
    *,
    needed: bool,
) -> None:
    """Note the metres that a run begins with, if it begins with what is known to be metric.

    Args:
        task: with the weights to begin with.
        batches: frames to compare at the end.
        source: model folder or name, or workdir, that they are of.
        min_depth: of the networks' range in their unit.
        workdir: of the run, where the note is kept.
        needed: whether nothing else can tell them at the end.

    Raises:
        ConfigError: they are needed, and source is the workdir of a run whose model alone tells.
        DepthRosError: the note cannot be written.
    """
    known = _metres_of(source, needed)
    if known is None:
        return
    nearest_m, scale_source = known
    depths = measure_log_depths(task, batches)
    held = HeldScale(nearest_m / min_depth, scale_source, tuple(depths.tolist()))
    try:
        write_whole(workdir / _FILE, json.dumps(asdict(held)))
    except OSError as error:
        raise DepthRosError(f'cannot write {workdir / _FILE}: {error.strerror}') from None


def _metres_of(source: Path, needed: bool) -> tuple[float, str] | None:
    """The nearest depth that networks answer in metres, and where these come from."""
    if weights_of_run(source) is not None and (source / CONFIG_FILE).is_file():
        return _metres_of_run(source, needed)
    try:
        spec = Model.load(source).spec
    except ModelError:
        return None  # a checkpoint or official files, which do not tell
    return (spec.min_depth, spec.scale_source) if spec.scale is ScaleKind.METRIC else None


def _metres_of_run(workdir: Path, needed: bool) -> tuple[float, str] | None:
    """The same of a run, whose networks have their own unit until they are exported."""
    config = read_run_config(workdir)
    if config.loss.scale_source is not None:
        return config.network.min_depth, config.loss.scale_source
    fitted = config.export.odometry_scale and config.data.odometry_truth
    if needed and (fitted or read_held_scale(workdir) is not None):
        raise ConfigError(
            f'{workdir} does not tell in what metres its model was exported, and '
            f'export.hold_scale is true; give the model folder in its place, or set '
            f'export.hold_scale=false'
        )
    return None


def read_held_scale(workdir: Path) -> HeldScale | None:
    """What hold_scale noted; None where it noted nothing."""
    path = workdir / _FILE
    if not path.is_file():
        return None
    values = json.loads(path.read_text())
    return HeldScale(values['unit_m'], values['source'], tuple(values['log_depths']))


def forget_held_scale(workdir: Path) -> None:
    """Take away what an earlier start in the workdir noted, that came to nothing.

    Raises:
        OSError: the note cannot be removed.
    """
    (workdir / _FILE).unlink(missing_ok=True)
