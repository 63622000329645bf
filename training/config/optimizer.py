"""How the weights are changed."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from training.config.require import require


class Schedule(enum.Enum):
    """Learning rate over the run, after the warm-up."""

    CONSTANT = 'constant'
    STEP = 'step'
    COSINE = 'cosine'


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (Adam where weight_decay is 0).

    Attributes:
        lr: learning rate after warm-up.
        pose_lr: of the pose network; None: lr. Its answer is scaled by 0.01, so that the large
            rotations of a hand-held camera are reached sooner with a multiple of lr.
        weight_decay: decoupled weight decay.
        schedule: course of the learning rate.
        step_at: shares of the run at each of which `step` multiplies the rate by step_factor.
        final_factor: where `cosine` ends, times lr.
        warmup_steps: steps of linear rise at the start.
        warmup_start: share of lr that it rises from.
        clip: largest gradient norm; None: no clipping.
        ema_decay: of the running mean of weights that is validated and exported; 0: none.
    """

    lr: float = 1e-4
    pose_lr: float | None = None
    weight_decay: float = 0.0
    schedule: Schedule = Schedule.COSINE
    step_at: tuple[float, ...] = (0.75,)
    step_factor: float = 0.1
    final_factor: float = 0.02
    warmup_steps: int = 0
    warmup_start: float = 0.0
    clip: float | None = None
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        require(self.lr > 0, f'optimizer.lr {self.lr} must be above 0')
        require(self.pose_rate > 0, f'optimizer.pose_lr {self.pose_lr} must be above 0')
        require(
            0 <= self.ema_decay < 1, f'optimizer.ema_decay {self.ema_decay} must be in [0, 1)'
        )
        require(
            0 <= self.warmup_start <= 1,
            f'optimizer.warmup_start {self.warmup_start} must be within 0 to 1',
        )
        for name in ('weight_decay', 'warmup_steps', 'step_factor', 'final_factor'):
            value = getattr(self, name)
            require(value >= 0, f'optimizer.{name} {value} must be 0 or more')
        require(
            all(0 <= share <= 1 for share in self.step_at),
            f'optimizer.step_at {self.step_at} must be shares of the run, within 0 to 1',
        )
        require(
            self.clip is None or self.clip > 0,
            f'optimizer.clip {self.clip} must be above 0, or null for no clipping',
        )

    @property
    def pose_rate(self) -> float:
        """Learning rate of the pose network after warm-up."""
        return self.lr if self.pose_lr is None else self.pose_lr
