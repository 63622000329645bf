"""Where the weights of a run come from: an earlier run, a model, or official files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from depth_ros.errors import ModelError
from depth_ros.model_folder.model import Model
from training.callbacks import weights_of_run
from training.official.featdepth_files import load_official_featdepth
from training.official.monodepth2_files import has_official_pose, load_official
from training.state_files import read_weights_file
from training.tasks.self_supervised import SelfSupervisedTask
from training.weights import read_weights

DEPTH, POSE, FEATURES = 'depth_net.', 'pose_net.', 'feature_net.'
_MEANS = ('depth_mean.mean.', 'pose_mean.mean.')


def load_initial(task: SelfSupervisedTask, source: Path) -> None:
    """Fill the task's networks.

    Args:
        task: its networks are filled; a pose network keeps its weights where the source has none.
        source: model folder or name, official Monodepth2 folder or FeatDepth file (.pth),
            checkpoint, or workdir of a run.

    Raises:
        ModelError: nothing usable there, or the networks differ.
    """
    checkpoint = weights_of_run(source)
    if (source / 'encoder.pth').is_file():
        load_official(source, task.depth_net, task.pose_net)
    elif checkpoint is not None:
        _load_checkpoint(task, checkpoint)
    elif source.is_file() and source.suffix == '.pth':
        load_official_featdepth(source, task.depth_net, task.pose_net)
    elif source.is_file():
        _load_checkpoint(task, source)
    else:
        model = Model.load(source)
        load_networks(task, read_weights(model.path), model.path)


def holds_pose(source: Path) -> bool:
    """Whether load_initial would fill a pose network from this source.

    Raises:
        ModelError: nothing usable there.
    """
    checkpoint = weights_of_run(source)
    if (source / 'encoder.pth').is_file():
        return has_official_pose(source)
    if checkpoint is None and source.is_file():
        if source.suffix == '.pth':
            return True
        checkpoint = source
    if checkpoint is not None:
        names = _state_of(checkpoint, mapped=True).keys()
    else:
        names = read_weights(Model.load(source).path).keys()
    return any(name.startswith(POSE) for name in names)


def load_task_weights(task: SelfSupervisedTask, checkpoint: Path) -> None:
    """Fill a run's task with what its own checkpoint would export, learnt features included.

    Raises:
        ModelError: no checkpoint of this program, damaged, or of other networks.
    """
    state = _load_checkpoint(task, checkpoint)
    if task.feature_net is not None:
        _load(task.feature_net, state, FEATURES, checkpoint)


def _load_checkpoint(task: SelfSupervisedTask, checkpoint: Path) -> Mapping[str, Tensor]:
    """Fill depth and pose network; another run has features of its own. Returns all weights."""
    state = _state_of(checkpoint)
    load_networks(task, exported_state(state), checkpoint)
    return state


def _state_of(checkpoint: Path, *, mapped: bool = False) -> Mapping[str, Tensor]:
    state = read_weights_file(checkpoint, mapped=mapped).get('state_dict')
    if not isinstance(state, Mapping):
        raise ModelError(f'{checkpoint} is no checkpoint of a run: it has no state_dict')
    return state


def exported_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights that are exported, under the names of the plain networks."""
    result: dict[str, Tensor] = {}
    for plain, mean in zip((DEPTH, POSE), _MEANS):
        found = mean if any(name.startswith(mean) for name in state) else plain
        names = [name for name in state if name.startswith(found)]
        result |= {plain + name[len(found) :]: state[name] for name in names}
    return result


def load_networks(task: SelfSupervisedTask, state: Mapping[str, Tensor], source: Path) -> None:
    """Fill networks and means from `depth_net.` and `pose_net.` weights, strictly.

    Raises:
        ModelError: names or shapes differ; the message names `source`.
    """
    _load(task.depth_net, state, DEPTH, source)
    if task.depth_mean is not None:
        _load(task.depth_mean.mean, state, DEPTH, source)
    if task.pose_net is None or not any(name.startswith(POSE) for name in state):
        return
    _load(task.pose_net, state, POSE, source)
    if task.pose_mean is not None:
        _load(task.pose_mean.mean, state, POSE, source)


def _load(net: nn.Module, state: Mapping[str, Tensor], prefix: str, source: Path) -> None:
    own = {n[len(prefix) :]: value for n, value in state.items() if n.startswith(prefix)}
    try:
        net.load_state_dict(own)
    except RuntimeError as error:
        first = ' '.join(str(error).split())[:200]
        raise ModelError(
            f'{source} holds other networks than the preset describes: {first}'
        ) from None
