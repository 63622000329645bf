"""A step on a GPU is queued without waiting for it: nothing is read back, or sent and waited for.

The GPU is a pretended one: fake tensors have its device and no values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import quiet
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from training_runs import ROOT, TINY

from training.config import BagSource
from training.config.presets import load_config
from training.data import augment
from training.data.batch import Batch
from training.data.module import FrameDataModule, prepare_data
from training.tasks.objective import Networks
from training.tasks.self_supervised import SelfSupervisedTask

SIZE = (64, 96)


class Waits(TorchDispatchMode):
    """Notes every operation that makes the CPU wait for the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = options or {}
        result = function(*arguments, **options)
        name = function.__name__
        if _copies(name, arguments, result) and not _non_blocking(name, arguments, options):
            self.found.append(name)
        if name.startswith('_local_scalar_dense') and arguments[0].device.type == 'cuda':
            self.found.append(name)
        return result


def _copies(name: str, arguments: Any, result: Any) -> bool:
    """Whether values go from one device to another."""
    if not name.startswith(('_to_copy', 'copy_')):
        return False
    source = arguments[1] if name.startswith('copy_') else arguments[0]
    return bool(source.device != result.device)


def _non_blocking(name: str, arguments: Any, options: Mapping[str, Any]) -> bool:
    given = arguments[2] if name.startswith('copy_') and len(arguments) > 2 else False
    return bool(options.get('non_blocking', given))


def make_batch() -> Batch:
    """Two samples on the pretended GPU."""
    motion = torch.empty(2, 4, 4, device='cuda')
    return Batch(
        torch.empty(2, 3, *SIZE, 3, dtype=torch.uint8, device='cuda'),
        torch.empty(2, 4, device='cuda'), torch.empty(2, 4, device='cuda'),
        torch.empty(2, *SIZE, device='cuda'), motion, motion, torch.empty(2, 2, device='cuda'),
        motion, torch.empty(2, 2, device='cuda'),
        torch.zeros(2, dtype=torch.long, device='cuda'),
    )  # fmt: skip


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory cannot be pinned without a GPU, and weights without values have no other layout."""
    monkeypatch.setattr(Tensor, 'pin_memory', lambda values: values)
    monkeypatch.setattr('training.networks.build._channels_last', lambda net: net)


@pytest.mark.usefixtures('pretended')
@pytest.mark.parametrize('preset', ['monodepth2', 'featdepth'])
def test_a_step_is_queued_without_a_wait(preset: str) -> None:
    settings = [f'data.width={SIZE[1]}', f'data.height={SIZE[0]}', 'augment.zoom=1.2']
    settings += [f'{net}.pretrained=none' for net in ('network', 'features.network')]
    settings += ['network.pose_pretrained=none', 'loss.depth=1']
    path = ROOT / f'config/training/{preset}.yaml'
    config = load_config(path, settings, [BagSource(path)])
    with FakeTensorMode(allow_non_fake_inputs=True):
        with torch.device('cuda'):
            task, batch = SelfSupervisedTask(config, 100.0, 10), make_batch()
        with Waits() as waits:
            batch, images01, coloured01 = augment.augmented(config.augment, 0, 0, batch)
            networks = Networks(task.depth_net, task.pose_net, task.feature_net)
            task.objective(networks, batch, images01, coloured01)
    assert waits.found == []


@pytest.mark.usefixtures('pretended')
def test_waits_are_found() -> None:
    with FakeTensorMode(allow_non_fake_inputs=True), Waits() as waits:
        torch.ones(3).to('cuda', non_blocking=True)
        assert waits.found == []
        torch.tensor([1.0, 2.0], device='cuda')
        torch.ones(3, device='cuda').cpu()
        assert len(waits.found) == 2


@pytest.mark.parametrize('device', ['auto', 'cuda', 'cpu'])
@pytest.mark.parametrize('present', [True, False])
def test_batches_are_pinned_wherever_a_gpu_takes_them(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, present: bool
) -> None:
    settings = [f'run.device={device}', f'data.cache={tmp_path}']
    config = load_config(TINY, settings, [BagSource(bag)])
    monkeypatch.setattr('torch.cuda.is_available', lambda: present)
    loader = FrameDataModule(config, prepare_data(config, quiet)).train_dataloader()
    assert loader.pin_memory == (present and device != 'cpu')
