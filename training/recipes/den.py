"""The recipe of Fourier-domain depth's network: a coarse map, by the depth-balanced loss.

Source: Lee, Heo, Kim and Kim, Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR
2018, sections 3.1 and 3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_ros.cameras.intrinsics import Intrinsics
from training.config import ArithmeticPrecision, TrainConfig
from training.config.den import DenTraining
from training.data.batch import Batch
from training.export.graphs import DenGraph, Graph
from training.geometry import focal_factor
from training.losses.depth_balanced import AnswerSpace, DepthBalancedLoss
from training.networks.den import GRID, Den, DenStage, begin_second_stage
from training.recipes.recipe import Answers, Recipe, RecipeResult


class DenRecipe(Recipe):
    """Either stage; the network is made for one camera, others are corrected to it."""

    def __init__(self, config: TrainConfig, training: DenTraining, camera: Intrinsics) -> None:
        """camera: that the network is made for."""
        super().__init__()
        self._training = training
        self._camera_fx = camera.fx
        self._bf16 = config.run.precision is ArithmeticPrecision.BF16
        self._loss = DepthBalancedLoss(training.balance, training.answers, training.max_depth_m)
        self.part_names = ('depth',)
        self.answers = Answers(
            'fourier', GRID[1], GRID[0], training.min_depth_m, training.max_depth_m, camera
        )

    def make_net(self) -> Den:
        """Its last layer answers a depth of rooms before it has learnt anything."""
        net = Den(self._training.network)
        first = torch.tensor(self._training.first_depth_m)
        if self._training.answers is AnswerSpace.BALANCED:
            first = self._training.balance.of_depth(first)
        nn.init.constant_(net.fc.bias, float(first))
        return net

    def groups(self, net: nn.Module, lr: float) -> list[dict[str, Any]]:
        """All alike."""
        return [{'params': list(net.parameters()), 'lr': lr}]

    def forward(self, net: nn.Module, batch: Batch, image01: Tensor) -> RecipeResult:
        """See Recipe."""
        with torch.autocast(image01.device.type, torch.bfloat16, enabled=self._bf16):
            answer = net(image01)
        # Depth as the camera sees it that the network is made for: a longer lens shows it nearer.
        factor = focal_factor(batch.intrinsics[:, 0], self._camera_fx)[:, None, None]
        total = self._loss(answer, mean_of_known(batch.depth_m / factor))
        coarse_m = self._loss.depth_m(answer.detach()).clamp(
            self._training.min_depth_m, self._training.max_depth_m
        )
        size = batch.depth_m.shape[-2:]
        depth_m = functional.interpolate(coarse_m[:, None], size, mode='bilinear')[:, 0] * factor
        return RecipeResult(total, {'depth': total.detach()}, depth_m)

    def graph(self, net: nn.Module) -> Graph:
        """See Recipe."""
        training = self._training
        return DenGraph(cast(Den, net), self._loss, training.min_depth_m, training.max_depth_m)

    def fill(self, net: nn.Module, state: Mapping[str, Tensor], source: Any) -> None:
        """The second stage may begin with the plain network of the first."""
        den = cast(Den, net)
        is_plain = not any('.conv1x3.' in name for name in state)
        if den.config.stage is DenStage.SIDES and is_plain:
            begin_second_stage(den, state)
        else:
            super().fill(net, state, source)


def mean_of_known(depth_m: Tensor) -> Tensor:
    """Depth [B,H,W], NaN where unknown -> mean of what is known in each cell, [B,25,32]."""
    known = torch.isfinite(depth_m) & (depth_m > 0)
    values = torch.where(known, depth_m, torch.zeros_like(depth_m))
    total = functional.adaptive_avg_pool2d(values, GRID)
    return total / functional.adaptive_avg_pool2d(known.to(values), GRID)
