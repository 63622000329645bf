"""What ends a training is told as what it is, and where its checkpoints are written."""

from __future__ import annotations

import tempfile
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from helpers import quiet
from torch import Tensor, nn
from torch.utils.data import DataLoader
from training_runs import TINY, files_up_to

from depth_ros.errors import DepthRosError
from training.callbacks import LAST, LogFields
from training.config import BagSource
from training.config.presets import load_config
from training.fitting import _worker_errors, fit
from training.ranks import ALONE

STEPS = 2
WEIGHTS = 100_000


class Wide(pl.LightningModule):
    """Anything with weights."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(WEIGHTS, 1)

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        loss = self.net(batch).square().mean()
        self.log('train/loss', loss.detach())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-9)


class Ones(pl.LightningDataModule):
    """As many batches as steps, and nothing to validate on."""

    steps_per_epoch = total_steps = STEPS
    validates = False

    def start_at(self, step: int) -> None:
        """Nothing depends on it."""

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(torch.ones(STEPS, WEIGHTS))


def train(workdir: Path) -> None:
    workdir.mkdir()
    config = load_config(TINY, ['run.checkpoint_every=1'], [BagSource(Path('bag'))])
    fit(config, workdir, Wide(), Ones(), LogFields(('loss',), ()), [], ALONE, quiet)


def test_checkpoints_need_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'full'))
    train(tmp_path / 'run')
    assert torch.load(tmp_path / 'run' / LAST, weights_only=True)['global_step'] == STEPS


def test_a_checkpoint_that_finds_no_space_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    no_space = pytest.raises(DepthRosError, match=r'cannot write .*last\.ckpt: File too large')
    with no_space, files_up_to(WEIGHTS):
        train(tmp_path / 'run')
    assert not list((tmp_path / 'run').glob('last.*'))


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed.'),
        ConnectionResetError(104, 'Connection reset by peer'),
        EOFError(),
    ],
)
def test_a_broken_pipe_to_a_loading_process_tells_of_its_end(error: Exception) -> None:
    expected = pytest.raises(DepthRosError, match='loads batches was killed')
    with expected as told, _worker_errors(workers=2):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize(
    ('workers', 'error'),
    [(0, ConnectionRefusedError(111, 'x')), (0, EOFError()), (2, RuntimeError('no memory'))],
)
def test_other_errors_stay_as_they_are(workers: int, error: Exception) -> None:
    with pytest.raises(type(error)) as told, _worker_errors(workers):
        raise error
    assert told.value is error
