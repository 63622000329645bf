"""What lies before and behind a network that answers crops: both in every model folder's terms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.fusion.combination import CombinationWeights, FourierCombination
from training.fusion.corner_crops import Candidates
from training.fusion.resampling import resampling_matrix


class CropStage(nn.Module):
    """uint8 [N,H,W,3] -> all crops [N K,h,w,3], whole numbers 0 .. 255 as float32.

    They are rounded as the bytes that the network takes by itself.
    """

    def __init__(self, candidates: Candidates) -> None:
        super().__init__()
        self.candidates = candidates

    def forward(self, image: Tensor) -> Tensor:
        crops = self.candidates.crops(image.float().permute(0, 3, 1, 2))
        return crops.round().clamp(0.0, 255.0).permute(0, 2, 3, 1)


class CropIntrinsics(nn.Module):
    """(fx, fy, cx, cy) of the images [N,4], in their pixels -> of all crops [N K,4].

    Crops are told the focal length of the whole image, though they are enlarged: their depth is
    divided by the ratio afterwards, as that of networks which take none. The principal point is
    the whole image's too.
    """

    def __init__(self, candidates: Candidates) -> None:
        super().__init__()
        (rows, columns), (height, width) = candidates.sizes.image, candidates.sizes.network
        scale = torch.tensor([width / columns, height / rows]).repeat(2)
        self.register_buffer('scale', scale, persistent=False)
        # Pixels are counted from the centre of the first one.
        centre = torch.tensor([0.0, 0.0, 0.5, 0.5])
        self.register_buffer('shift', centre * scale - centre, persistent=False)
        self._crops = candidates.crop_count

    def forward(self, intrinsics: Tensor) -> Tensor:
        scaled = intrinsics * self.get_buffer('scale') + self.get_buffer('shift')
        return scaled[:, None].expand(-1, self._crops, -1).flatten(0, 1)


class CombineStage(nn.Module):
    """Depth of all crops [N K,h,w] -> of the images [N,N1,N2] within min_depth .. max_depth."""

    def __init__(
        self,
        candidates: Candidates,
        weights: CombinationWeights,
        min_depth: float,
        max_depth: float,
    ) -> None:
        super().__init__()
        self.candidates = candidates
        self.combination = FourierCombination(weights)
        # Floats, since the exporter cannot clamp by one float and one whole number.
        self.min_depth, self.max_depth = float(min_depth), float(max_depth)

    def forward(self, depth: Tensor) -> Tensor:
        combined = self.combination(self.candidates.assembled(depth))
        return combined.clamp(self.min_depth, self.max_depth)


class ShrinkStage(nn.Module):
    """uint8 [N,H,W,3] -> [N,h,w,3], whole numbers 0 .. 255 as float32, for a pose network."""

    def __init__(self, image: tuple[int, int], network: tuple[int, int]) -> None:
        """image, network: rows and columns of what comes in and goes out."""
        super().__init__()
        for name, out, size in zip(('rows', 'columns'), network, image):
            matrix = torch.from_numpy(resampling_matrix(out, size)).float()
            self.register_buffer(name, matrix, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        planes = image.float().permute(0, 3, 1, 2)
        shrunk = self.get_buffer('rows') @ planes @ self.get_buffer('columns').T
        return shrunk.round().clamp(0.0, 255.0).permute(0, 2, 3, 1)
