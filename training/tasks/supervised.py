"""A network that learns from true depth alone, as a LightningModule."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from training.callbacks import LogFields
from training.config import TrainConfig
from training.data import augment
from training.data.batch import TARGET, Batch
from training.ranks import ALONE, Ranks
from training.recipes.recipe import Recipe, RecipeResult
from training.tasks.abs_rel import abs_rel, metric_truth
from training.tasks.schedule import make_optimizer
from training.tasks.weight_mean import WeightMean


class SupervisedTask(pl.LightningModule):
    """Trains the network of a recipe; every random number comes from (seed, step)."""

    def __init__(
        self, config: TrainConfig, recipe: Recipe, total_steps: int, ranks: Ranks = ALONE
    ) -> None:
        """Build the network.

        Args:
            config: the run.
            recipe: of the network.
            total_steps: length of the learning rate schedule.
            ranks: this process among those that train together.
        """
        super().__init__()
        torch.manual_seed(config.run.seed)
        self._config = config
        self._ranks = ranks
        self._total_steps = total_steps
        self.recipe = recipe
        self.net = recipe.make_net()
        self.mean: WeightMean | None = None
        self._validation_sums = torch.zeros(4)

    @property
    def fields(self) -> LogFields:
        """What is logged."""
        return LogFields(('loss', *self.recipe.part_names), ('loss', 'abs_rel'))

    def train(self, mode: bool = True) -> SupervisedTask:
        """Training or evaluation mode; what does not learn stays in the latter."""
        super().train(mode)
        if mode:
            self.recipe.set_training(self.net)
        if self._config.run.freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def start_mean(self) -> None:
        """Begin the running mean of weights, where one is wanted, from the present weights."""
        decay = self._config.optimizer.ema_decay
        self.mean = WeightMean(self.net, decay) if decay > 0 else None

    @property
    def best_net(self) -> nn.Module:
        """What is validated and exported: the running mean, where there is one."""
        return self.net if self.mean is None else self.mean.mean

    def terms(self, batch: Batch) -> RecipeResult:
        """The best network on a batch as it is, without augmentation."""
        return self.recipe(self.best_net, batch, augment.to_unit_images(batch.images)[:, TARGET])

    def predicted_depth(self, batch: Batch) -> Tensor:
        """Depth of the targets [B,H,W] in metres, by the best network."""
        return self.terms(batch).depth_m

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One step: augment, evaluate, log."""
        seed, step = self._config.run.seed, self.global_step
        torch.manual_seed(hash((seed, step, self._ranks.rank)))
        batch, coloured01 = augment.augmented_target(
            self._config.augment, seed, step, batch, self._ranks
        )
        result = self.recipe.training_loss(self.net, batch, coloured01)
        logs = (step + 1) % self._config.run.log_every == 0
        self.log('train/loss', result.total.detach(), prog_bar=True, sync_dist=logs)
        for name, value in result.parts.items():
            self.log(f'train/{name}', value, sync_dist=logs)
        return result.total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Let the running mean follow at once: checkpoints are saved soon after."""
        super().optimizer_step(*args, **kwargs)
        if self.mean is not None:
            self.mean.update(self.net, self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation; judge the same statistics of batch norm everywhere."""
        self._ranks.share_buffers(self)
        self._validation_sums = torch.zeros(4, device=self.device)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add this batch to the sums of losses and of AbsRel, which is not scaled."""
        result = self.terms(batch)
        errors = abs_rel(result.depth_m, metric_truth(batch), scaled=False)
        known = torch.isfinite(errors)
        count = len(batch.images)
        row = [result.total * count, torch.full_like(result.total, count)]
        row += [errors[known].sum(), known.sum().to(result.total)]
        self._validation_sums += torch.stack(row)

    def on_validation_epoch_end(self) -> None:
        """Log means over the samples of all processes, the same to the last bit in each."""
        self._ranks.add_up(self._validation_sums)
        loss, samples, error, images = self._validation_sums.tolist()
        self.log('validation/loss', loss / max(samples, 1))
        self.log('validation/abs_rel', error / images if images else math.inf)

    def configure_optimizers(self) -> Any:
        """AdamW over the recipe's groups."""
        config = self._config.optimizer
        groups = self.recipe.groups(self.net, config.lr)
        return make_optimizer(config, [g for g in groups if g['params']], self._total_steps)
