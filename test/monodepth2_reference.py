"""Official Monodepth2 checkpoints with random weights, to compare ours with."""

from __future__ import annotations

import torch
from official_models import randomise_batch_norms
from torch import Tensor, nn

from benchmarks.plain_networks import PlainNetworks


class Official(PlainNetworks):
    """The four networks with random weights and batch norm statistics, in evaluation mode."""

    def __init__(self, layers: int, seed: int = 0, pose: bool = True) -> None:
        torch.manual_seed(seed)
        super().__init__(layers, pose)
        self.eval()
        randomise_batch_norms(self)
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
