"""The auto-encoder's training by itself, before depth and motion."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn import functional

from training.config import ArithmeticPrecision, TrainConfig
from training.data import augment
from training.data.batch import TARGET, Batch
from training.losses.single_view import SingleViewLoss, SingleViewResult
from training.networks.build import build_feature_net
from training.ranks import ALONE, Ranks
from training.tasks.schedule import make_optimizer


class FeatureTask(pl.LightningModule):
    """Trains a FeatureNet on single frames; every random number comes from (seed, step)."""

    def __init__(self, config: TrainConfig, total_steps: int, ranks: Ranks = ALONE) -> None:
        """Build the network.

        Args:
            config: its run and optimizer are those of this training.
            total_steps: length of the learning rate schedule.
            ranks: this process among those that train together.
        """
        super().__init__()
        torch.manual_seed(config.run.seed)
        self._config = config
        self._ranks = ranks
        self._total_steps = total_steps
        features = config.features
        self.feature_net = build_feature_net(features.network)
        self._loss = SingleViewLoss(features.discriminative, features.convergent)
        self._validation_sums = torch.zeros(2)

    def terms(self, images01: Tensor) -> SingleViewResult:
        """The loss of images [B, 3, H, W] in [0, 1]."""
        size = self._config.features.size
        if size is not None:
            images01 = functional.interpolate(
                images01, size[::-1], mode='bilinear', antialias=True
            )
        bf16 = self._config.run.precision is ArithmeticPrecision.BF16
        with torch.autocast(images01.device.type, torch.bfloat16, enabled=bf16):
            encoded = self.feature_net.encoder(images01)
            reconstructions = self.feature_net.decoder(encoded[-1])
        return self._loss(encoded, reconstructions, images01)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One step: mirror and zoom, evaluate, log. Colours stay: they are what is matched."""
        seed, step = self._config.run.seed, self.global_step
        torch.manual_seed(hash((seed, step, self._ranks.rank)))
        draws = augment.draw_for(self._config.augment, seed, step, batch, self._ranks)
        target01 = augment.to_unit_images(batch.images[:, TARGET : TARGET + 1])
        _, target01 = augment.change_geometry(batch, target01, draws)
        terms = self.terms(target01[:, 0])
        logs = (step + 1) % self._config.run.log_every == 0
        self.log('train/loss', terms.total.detach(), prog_bar=True, sync_dist=logs)
        for name in ('reconstruction', 'discriminative', 'convergent'):
            self.log(f'train/{name}', getattr(terms, name), sync_dist=logs)
        return terms.total

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation; judge the same statistics of batch norm everywhere."""
        self._ranks.share_buffers(self)
        self._validation_sums = torch.zeros(2, device=self.device)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add this batch to the sum of losses."""
        target01 = augment.to_unit_images(batch.images[:, TARGET : TARGET + 1])
        total = self.terms(target01[:, 0]).total
        count = len(batch.images)
        self._validation_sums += torch.stack([total * count, torch.full_like(total, count)])

    def on_validation_epoch_end(self) -> None:
        """Log the mean over the samples of all processes."""
        self._ranks.add_up(self._validation_sums)
        loss, samples = self._validation_sums.tolist()
        self.log('validation/loss', loss / max(samples, 1))

    def configure_optimizers(self) -> Any:
        """AdamW with the configured learning rate at every step."""
        config = self._config.optimizer
        groups = [{'params': list(self.feature_net.parameters()), 'lr': config.lr}]
        return make_optimizer(config, groups, self._total_steps)
