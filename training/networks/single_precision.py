"""What a network answers with, kept out of the half precision that the rest of it may run in."""

import torch
from torch import Tensor, nn


def in_single_precision(layers: nn.Module, x: Tensor) -> Tensor:
    """layers(x), within torch.autocast as without it.

    For last layers: bfloat16 has 8 bits, so that a smooth answer comes in steps (a disparity's
    are 2 % of depth at 10 m), which losses of derivatives take for edges. What single precision
    sums up of features in bfloat16 has none. A network of half precision itself stays so.
    """
    device = x.device.type
    # Shapes without values, on the meta device, have no autocast to ask for.
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return layers(x)
    with torch.autocast(device, enabled=False):
        return layers(x.float())
