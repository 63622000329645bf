"""Official Monodepth2 checkpoints with random weights, to compare ours with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.plain_networks import PlainNetworks


class Official(PlainNetworks):
    """The four networks with random weights and batch norm statistics, in evaluation mode."""

    def __init__(self, layers: int, seed: int = 0, pose: bool = True) -> None:
        torch.manual_seed(seed)
        super().__init__(layers, pose)
        self.eval()
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.7, 1.1)
                nn.init.normal_(module.bias, std=0.02)
                nn.init.normal_(module.running_mean, std=0.1)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
        # Torch's own small weights would leave answers that hardly depend on the images.
        for head in filter(None, (self.depth, self.pose)):
            for module in head.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, nonlinearity='relu')

    @torch.no_grad()
    def disparities(self, image01: Tensor) -> list[Tensor]:
        return super().disparities(image01)

    @torch.no_grad()
    def motion(self, earlier01: Tensor, later01: Tensor) -> Tensor:
        return super().motion(earlier01, later01)
