"""Lightning's view of a run: steps, optimiser and validation around the objective."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from training.config import FeatureMode, TrainConfig
from training.data import augment
from training.data.batch import Batch
from training.networks.build import (
    build_depth_net,
    build_feature_net,
    build_frozen_features,
    build_pose_net,
)
from training.networks.depth_net import DepthNet
from training.networks.feature_net import FeatureNet, FrozenFeatures
from training.networks.pose_net import PoseNet
from training.ranks import ALONE, Ranks
from training.tasks.abs_rel import abs_rel, metric_truth
from training.tasks.objective import Networks, Objective, Terms
from training.tasks.schedule import make_optimizer
from training.tasks.weight_mean import WeightMean


class SelfSupervisedTask(pl.LightningModule):
    """Trains a depth and a pose network.

    Nothing here waits for the device between log rows, unless motions are tracked: on the CPU.
    Every random number of a step comes from (seed, step), so that a resumed run repeats them.
    """

    def __init__(
        self, config: TrainConfig, training_fx: float, total_steps: int, ranks: Ranks = ALONE
    ) -> None:
        """Build the networks.

        Args:
            config: the run.
            training_fx: focal length that the networks are made for [network pixels].
            total_steps: length of the learning rate schedule.
            ranks: this process among those that train together.
        """
        super().__init__()
        torch.manual_seed(config.run.seed)
        self._config = config
        self._ranks = ranks
        self._total_steps = total_steps
        self.depth_net: DepthNet = build_depth_net(config.network)
        self.pose_net: PoseNet | None = None
        if config.loss.needs_neighbours:
            self.pose_net = build_pose_net(config.network)
        self.feature_net = _make_features(config)
        self.depth_mean: WeightMean | None = None
        self.pose_mean: WeightMean | None = None
        self.objective = Objective(config, training_fx)
        self._validation_sums = torch.zeros(5)

    def train(self, mode: bool = True) -> SelfSupervisedTask:
        """Training or evaluation mode; frozen batch norms stay in the latter."""
        super().train(mode)
        if self._config.run.freeze_batch_norm:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def start_means(self) -> None:
        """Begin the running mean of weights, where one is wanted, from the present weights."""
        decay = self._config.optimizer.ema_decay
        if decay > 0:
            self.depth_mean = WeightMean(self.depth_net, decay)
            self.pose_mean = WeightMean(self.pose_net, decay) if self.pose_net else None

    @property
    def best_networks(self) -> Networks:
        """What is validated and exported: the running means, where there are any."""
        if self.depth_mean is None:
            return Networks(self.depth_net, self.pose_net, self.feature_net)
        pose: Any = self.pose_mean.mean if self.pose_mean is not None else None
        depth: Any = self.depth_mean.mean
        return Networks(depth, pose, self.feature_net)

    def terms(self, batch: Batch) -> Terms:
        """The objective of the best networks on a batch as it is, without augmentation."""
        images01 = augment.to_unit_images(batch.images)
        return self.objective(self.best_networks, batch, images01, images01)

    def predicted_depth(self, batch: Batch) -> Tensor:
        """Depth of the targets [B,H,W] in the networks' unit, by the best networks."""
        return self.terms(batch).depth_m[:, 0]

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One step: augment, evaluate, log."""
        seed, step = self._config.run.seed, self.global_step
        torch.manual_seed(hash((seed, step, self._ranks.rank)))
        batch, images01, coloured01 = augment.augmented(
            self._config.augment, seed, step, batch, self._ranks
        )
        networks = Networks(self.depth_net, self.pose_net, self.feature_net)
        terms = self.objective(networks, batch, images01, coloured01)
        logs = (step + 1) % self._config.run.log_every == 0
        for name, value in terms.scalars().items():
            self.log(f'train/{name}', value, prog_bar=name == 'loss', sync_dist=logs)
        return terms.total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Let the running means follow at once: checkpoints are saved soon after."""
        super().optimizer_step(*args, **kwargs)
        for mean, net in ((self.depth_mean, self.depth_net), (self.pose_mean, self.pose_net)):
            if mean is not None and net is not None:
                mean.update(net, self.global_step)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation; judge the same statistics of batch norm everywhere."""
        self._ranks.share_buffers(self)
        self._validation_sums = torch.zeros(5, device=self.device)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Add this batch to the sums of losses and of AbsRel."""
        torch.manual_seed(batch_index)
        terms = self.terms(batch)
        scaled = self._config.loss.depth == 0
        errors = abs_rel(terms.depth_m[:, 0], metric_truth(batch), scaled)
        known = torch.isfinite(errors)
        count = len(batch.images)
        row = [terms.total * count, terms.depth_loss * count, torch.full_like(terms.total, count)]
        row += [errors[known].sum(), known.sum().to(terms.total)]
        self._validation_sums += torch.stack(row)

    def on_validation_epoch_end(self) -> None:
        """Log means over the samples of all processes, the same to the last bit in each.

        AbsRel is infinite where no frame has truth.
        """
        self._ranks.add_up(self._validation_sums)
        loss, depth_loss, samples, error, images = self._validation_sums.tolist()
        self.log('validation/loss', loss / max(samples, 1))
        self.log('validation/depth_loss', depth_loss / max(samples, 1))
        self.log('validation/abs_rel', error / images if images else math.inf)

    def configure_optimizers(self) -> Any:
        """AdamW with the configured learning rate at every step."""
        config = self._config.optimizer
        groups = [{'params': list(self.depth_net.parameters()), 'lr': config.lr}]
        if self.pose_net is not None:
            groups.append({'params': list(self.pose_net.parameters()), 'lr': config.pose_rate})
        if isinstance(self.feature_net, FeatureNet):
            groups.append({'params': list(self.feature_net.parameters()), 'lr': config.lr})
        return make_optimizer(config, groups, self._total_steps)


def _make_features(config: TrainConfig) -> FeatureNet | FrozenFeatures | None:
    """The features that views are matched by: to be trained along, or already trained ones."""
    if config.loss.feature_metric == 0:
        return None
    features = config.features
    if features.mode is FeatureMode.JOINT:
        return build_feature_net(features.network)
    return build_frozen_features(features.network.backbone)
