"""Optimiser and learning rate of a run."""

from __future__ import annotations

import math
from typing import Any

import torch

from training.config import OptimizerConfig, Schedule


def make_optimizer(
    config: OptimizerConfig, groups: list[dict[str, Any]], total_steps: int
) -> dict[str, Any]:
    """AdamW over parameter groups with rates of their own, as Lightning wants it.

    The rates are multiplied by `rate_factor` at every step.
    """
    optimizer = torch.optim.AdamW(
        groups, lr=config.lr, weight_decay=config.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_factor(config, step, total_steps)
    )
    return {
        'optimizer': optimizer,
        'lr_scheduler': {'scheduler': schedule, 'interval': 'step'},
    }


def rate_factor(config: OptimizerConfig, step: int, total: int) -> float:
    """Learning rate of a step over config.lr."""
    if step < config.warmup_steps:
        risen = (step + 1) / (config.warmup_steps + 1)
        return config.warmup_start + (1 - config.warmup_start) * risen
    done = (step - config.warmup_steps) / max(1, total - config.warmup_steps)
    if config.schedule is Schedule.COSINE:
        wave = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return config.final_factor + (1 - config.final_factor) * wave
    if config.schedule is Schedule.STEP:
        return config.step_factor ** sum(step >= share * total for share in config.step_at)
    return 1.0
