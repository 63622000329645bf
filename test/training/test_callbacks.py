"""Which checkpoint is kept as the best, and when a run ends early."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from training.callbacks import BEST, LAST, Checkpoints

_STEPS = 2
"""Between validations."""


class Judged(pl.LightningModule):
    """Its validations have given results, one after the other."""

    def __init__(self, results: Sequence[float]) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1)
        self.results = results

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        return self.net(batch).square().mean()

    def validation_step(self, batch: Tensor, _: int) -> None:
        self.log('validation/loss', self.results[self.global_step // _STEPS - 1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder: Path, results: Sequence[float], patience: int = 0) -> int:
    """Train to the end or the early stop, from last.ckpt where there is one; the last step."""
    trainer = pl.Trainer(
        accelerator='cpu', max_epochs=1, max_steps=_STEPS * len(results),
        val_check_interval=_STEPS, num_sanity_val_steps=0, logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
        callbacks=[Checkpoints(folder, 100, _STEPS, 'validation/loss', patience)],
    )  # fmt: skip
    batches = DataLoader(torch.ones(_STEPS * len(results), 1), batch_size=1)
    one = DataLoader(torch.ones(1, 1))
    last = folder / LAST
    trainer.fit(
        Judged(results), batches, one, ckpt_path=last if last.exists() else None,
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


def test_a_run_that_had_stopped_early_is_not_trained_on(tmp_path: Path) -> None:
    results = (0.4, 0.3, 0.5, 0.6, 0.7, 0.8)
    assert train(tmp_path, results, patience=2) == 4 * _STEPS
    assert train(tmp_path, results, patience=2) == 4 * _STEPS
