"""An exponential running mean of weights, which is often better than the last of them."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightMean(nn.Module):
    """A frozen copy of a module that follows it slowly; statistics of batch norm included."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.mean = copy.deepcopy(module).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module; early on faster, so that the start is soon forgotten."""
        decay = min(self._decay, (1 + step) / (10 + step))
        mean, new = self.mean.state_dict(), module.state_dict()
        floats = [name for name, value in new.items() if value.is_floating_point()]
        torch._foreach_lerp_([mean[n] for n in floats], [new[n] for n in floats], 1 - decay)
        for name in new.keys() - set(floats):
            mean[name].copy_(new[name])
