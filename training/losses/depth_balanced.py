"""The depth-balanced Euclidean loss: near depths count more than far ones.

Source: Lee, Heo, Kim and Kim, Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR
2018, section 3.2.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth_ros.errors import ConfigError
from training.losses.shared_mean import shared_mean

_LINEAR_FROM = 14 / 15
"""Share of the depth of the curve's top from which it goes on as a line: its slope must not
change sign."""


class AnswerSpace(enum.Enum):
    """What a network's answer is."""

    DEPTH = 'depth'
    """Metres, which the loss balances; the paper's equations."""
    BALANCED = 'balanced'
    """The balanced depth itself; the authors' released model."""


@dataclass(frozen=True)
class Balance:
    """g(d) = slope d + curvature / 2 d^2 of depths d in metres.

    The defaults are the paper's; slope 1 and curvature 0 make the loss the Euclidean one.
    """

    slope: float = 1.5
    curvature: float = -0.1

    def __post_init__(self) -> None:
        if not self.slope > 0 or not self.curvature <= 0:
            raise ConfigError(
                f'slope {self.slope} must be above 0, curvature {self.curvature} 0 or below'
            )

    @property
    def top_m(self) -> float:
        """The depth from which g would fall again; infinite for a line."""
        return math.inf if self.curvature == 0 else -self.slope / self.curvature

    def of_depth(self, depth_m: Tensor) -> Tensor:
        """g, continued beyond 14 / 15 of its top as a line of the same value and slope."""
        if self.curvature == 0:
            return self.slope * depth_m
        bend = _LINEAR_FROM * self.top_m
        below = depth_m.clamp(max=bend)
        slope = self.slope + self.curvature * bend
        return (self.slope + 0.5 * self.curvature * below) * below + slope * (depth_m - below)

    def to_depth(self, balanced: Tensor) -> Tensor:
        """The inverse of g up to its top, where what is above ends."""
        if self.curvature == 0:
            return balanced / self.slope
        top = self.top_m
        within = balanced.clamp(0.0, 0.5 * self.slope * top)
        return top - (top * top + 2.0 / self.curvature * within).clamp(min=0.0).sqrt()


class DepthBalancedLoss(nn.Module):
    """1 / 2N sum of (g(answer) - g(truth))^2 over the N pixels whose truth is known.

    forward: answer [B, ...] in the configured space; truth_m [B, ...] in metres with NaN or
    values <= 0 where unknown -> scalar, 0 (with gradient 0) when nothing is known. Truth beyond
    max_depth_m counts as max_depth_m.
    """

    def __init__(
        self,
        balance: Balance | None = None,
        space: AnswerSpace = AnswerSpace.DEPTH,
        max_depth_m: float = 10.0,
    ) -> None:
        super().__init__()
        self.balance = balance or Balance()
        self.space = space
        self.max_depth_m = max_depth_m
        if not 0 < max_depth_m < self.balance.top_m:
            raise ConfigError(
                f'max_depth_m is {max_depth_m}; need a depth above 0 and below '
                f'{self.balance.top_m:g}, where balanced depth would fall again'
            )

    def forward(self, answer: Tensor, truth_m: Tensor) -> Tensor:
        known = torch.isfinite(truth_m) & (truth_m > 0)
        # The unknown are replaced before the difference: NaN times zero would still be NaN.
        truth = torch.where(known, truth_m, torch.ones_like(truth_m)).clamp(max=self.max_depth_m)
        balanced = self.balance.of_depth(answer) if self.space is AnswerSpace.DEPTH else answer
        error = (balanced - self.balance.of_depth(truth)).square() * known
        return shared_mean(0.5 * error.sum(), known.sum())

    def depth_m(self, answer: Tensor) -> Tensor:
        """Depth in metres of a network's answer."""
        return answer if self.space is AnswerSpace.DEPTH else self.balance.to_depth(answer)
