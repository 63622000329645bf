"""The features that views are matched by, where loss.feature_metric is above 0."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from training.config.optimizer import OptimizerConfig
from training.config.require import require
from training.networks.build import FeatureNetConfig


class FeatureMode(enum.Enum):
    """When the auto-encoder whose features are matched is trained."""

    SEPARATE = 'separate'
    """First and by itself; its features then stay as they are."""
    JOINT = 'joint'
    """Together with depth and motion."""


@dataclass(frozen=True)
class FeaturesConfig:
    """The auto-encoder, and how long it is trained by itself (Shu et al., ECCV 2020).

    Attributes:
        mode: when it is trained.
        init: features to start from: the workdir of an earlier run, its features.pt, or an
            official FeatDepth file. Separate: they are taken as they are, none are trained.
        network: what it is made of.
        discriminative, convergent: weights of its first and second differences.
        size: (width, height) that frames are resized to when it is trained by itself; None: the
            network's. It can be applied at any size.
        batch_size, epochs, steps_per_epoch, optimizer: of its own training; as in run and
            optimizer.
    """

    mode: FeatureMode = FeatureMode.SEPARATE
    init: Path | None = None
    network: FeatureNetConfig = field(default_factory=FeatureNetConfig)
    discriminative: float = 1e-3
    convergent: float = 1e-3
    size: tuple[int, int] | None = None
    batch_size: int = 8
    epochs: int = 10
    steps_per_epoch: int | None = None
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        for name in ('discriminative', 'convergent'):
            value = getattr(self, name)
            require(value >= 0, f'features.{name} {value} must be 0 or more')
        for name in ('batch_size', 'epochs'):
            value = getattr(self, name)
            require(value >= 1, f'features.{name} {value} must be 1 or more')
        require(
            self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            f'features.steps_per_epoch {self.steps_per_epoch} must be 1 or more',
        )
        require(
            self.size is None or all(side > 0 and side % 32 == 0 for side in self.size),
            f'features.size {self.size} must be two multiples of 32',
        )
