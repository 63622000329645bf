"""Which checkpoint is kept as the best and as the last, and when a run ends early."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from depth_ros.errors import DepthRosError
from training.callbacks import BEST, LAST, Checkpoints

_STEPS = 2
"""Between validations."""


class Judged(pl.LightningModule):
    """Its validations have given results, one after the other; it diverges as told."""

    def __init__(
        self, results: Sequence[float], bad_step: int | None, losses: Sequence[float]
    ) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1)
        self.results = results
        self.bad_step = bad_step
        self.losses = losses

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        loss = self.net(batch).square().mean()
        if self.global_step + 1 == self.bad_step:
            loss = loss * math.nan
        self.log('train/loss', loss.detach())
        return loss

    def validation_step(self, batch: Tensor, _: int) -> None:
        index = self.global_step // _STEPS - 1
        self.log('validation/abs_rel', self.results[index])
        self.log('validation/loss', self.losses[index] if self.losses else 1.0)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(
    folder: Path,
    results: Sequence[float],
    patience: int = 0,
    every: int = 100,
    bad_step: int | None = None,
    losses: Sequence[float] = (),
    validates: bool = True,
) -> int:
    """Train to the end or the early stop, from last.ckpt where there is one; the last step.

    results, losses: AbsRel and loss of each validation; a good loss where none is told.
    every: steps between checkpoints. bad_step: whose loss is NaN.
    """
    trainer = pl.Trainer(
        accelerator='cpu', max_epochs=1, max_steps=_STEPS * len(results),
        val_check_interval=_STEPS, num_sanity_val_steps=0, logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
        limit_val_batches=1.0 if validates else 0,
        callbacks=[
            Checkpoints(folder, every, _STEPS * validates, 'validation/abs_rel', patience)
        ],
    )  # fmt: skip
    batches = DataLoader(torch.ones(_STEPS * len(results), 1), batch_size=1)
    one = DataLoader(torch.ones(1, 1))
    last = folder / LAST
    trainer.fit(
        Judged(results, bad_step, losses), batches, one, ckpt_path=last if last.exists() else None,
        weights_only=True,
    )  # fmt: skip
    return trainer.global_step


@pytest.mark.parametrize(
    ('results', 'best'),
    [
        ((0.4, 0.3, 0.2, 0.5), 3),
        ((math.nan, 0.3, 0.2, 0.1), 4),
        ((math.inf, 0.3, math.nan, 0.4), 2),
        ((0.3, math.nan, 0.2, math.inf), 3),
    ],
)
def test_the_best_is_the_least_of_the_finite(
    tmp_path: Path, results: Sequence[float], best: int
) -> None:
    train(tmp_path, results)
    kept = torch.load(tmp_path / BEST, weights_only=True)
    assert kept['global_step'] == best * _STEPS


@pytest.mark.parametrize('result', [math.nan, math.inf])
def test_what_is_never_finite_has_no_best(tmp_path: Path, result: float) -> None:
    assert train(tmp_path, [result] * 3) == 3 * _STEPS
    assert not (tmp_path / BEST).exists()
    assert torch.load(tmp_path / LAST, weights_only=True)['global_step'] == 3 * _STEPS


@pytest.mark.parametrize('bad_step', [2, 4, 5, 6])
@pytest.mark.parametrize('validates', [True, False])
def test_what_diverged_is_not_saved(tmp_path: Path, bad_step: int, validates: bool) -> None:
    with pytest.raises(DepthRosError, match=r'the loss is nan at step \d; lower optimizer.lr'):
        train(tmp_path, (0.4, 0.3, 0.2), every=1, bad_step=bad_step, validates=validates)
    kept = torch.load(tmp_path / LAST, weights_only=True)
    assert kept['global_step'] == bad_step - 1
    assert all(value.isfinite().all() for value in kept['state_dict'].values())


def test_the_end_of_a_run_that_diverged_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(DepthRosError, match='the loss is nan at step 4'):
        train(tmp_path, (0.4, 0.3), bad_step=3, validates=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('loss', [math.nan, math.inf])
def test_a_validation_loss_that_is_not_finite_ends_the_run(tmp_path: Path, loss: float) -> None:
    with pytest.raises(DepthRosError, match=f'the validation loss is {loss} at step 4'):
        train(tmp_path, (0.4, 0.3, 0.2), losses=(0.5, loss, 0.5))
    for name in (BEST, LAST):
        assert torch.load(tmp_path / name, weights_only=True)['global_step'] == _STEPS


def test_a_run_that_had_stopped_early_is_not_trained_on(tmp_path: Path) -> None:
    results = (0.4, 0.3, 0.5, 0.6, 0.7, 0.8)
    assert train(tmp_path, results, patience=2) == 4 * _STEPS
    assert train(tmp_path, results, patience=2) == 4 * _STEPS
