"""Candidates of depth: an image's corner crops of several sizes, each answered by itself.

Source: Lee, Heo, Kim and Kim, Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR
2018, section 3.3.

Four crops at the corners are two along each axis, so cutting, resizing, putting back and averaging
what overlaps are products with one matrix an axis.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from depth_ros.errors import ConfigError
from training.fusion.resampling import resampling_matrix

PAPER_RATIOS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6)


@dataclass(frozen=True)
class CropSizes:
    """Sizes [rows, columns] of what becomes of an image on its way to candidates.

    image: the image that is cropped. network: what each crop is resized to. answer: the network's
    map of one crop. grid: the candidates.
    """

    image: tuple[int, int]
    network: tuple[int, int]
    answer: tuple[int, int]
    grid: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ('image', 'network', 'answer', 'grid'):
            size = getattr(self, name)
            if len(size) != 2 or min(size) < 2:
                raise ConfigError(f'{name} is {size}; need rows and columns of 2 or more')


def check_ratios(ratios: tuple[float, ...]) -> None:
    """Raise ConfigError unless ratios are 1, then ever smaller ones of 0.5 or more."""
    descending = all(one > other for one, other in itertools.pairwise(ratios))
    if not ratios or ratios[0] != 1.0 or not descending or not ratios[-1] >= 0.5:
        raise ConfigError(
            f'ratios are {ratios}; need 1 first, then ever smaller ones of 0.5 or more: '
            'smaller crops leave the middle out'
        )


class CornerCrops(nn.Module):
    """The crops of one ratio, and the candidate that their answers make. Holds no weights."""

    def __init__(self, ratio: float, sizes: CropSizes) -> None:
        """ratio: of a crop's sides to the image's; 1: the whole image is the only crop."""
        super().__init__()
        self.ratio = ratio
        self.per_side = 1 if ratio == 1.0 else 2
        self._sizes = sizes
        for axis, name in enumerate(('rows', 'columns')):
            cut, put = _along_axis(
                ratio, sizes.image[axis], sizes.network[axis], sizes.answer[axis],
                sizes.grid[axis],
            )  # fmt: skip
            if axis == 1:
                cut, put = cut.T, put.T
            for what, matrix in (('cut', cut), ('put', put)):
                tensor = torch.from_numpy(np.ascontiguousarray(matrix)).float()
                self.register_buffer(f'{what}_{name}', tensor, persistent=False)

    @property
    def count(self) -> int:
        """Crops of one image."""
        return self.per_side**2

    def crops(self, image: Tensor) -> Tensor:
        """Images [N,C,H,W] -> their crops [N,k k,C,h,w], row by row."""
        cut = self.get_buffer('cut_rows') @ image @ self.get_buffer('cut_columns')
        k, (height, width) = self.per_side, self._sizes.network
        tiles = cut.unflatten(3, (k, width)).unflatten(2, (k, height))
        return tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)

    def candidate(self, answers: Tensor) -> Tensor:
        """Depth of crops [N,k k,h,w] in the order of `crops` -> of the whole images [N,g,G].

        What a crop shows is enlarged by 1 / ratio to the network's input and looks as much
        nearer, so its depth is divided by the ratio.
        """
        k = self.per_side
        tiles = answers.unflatten(1, (k, k)).permute(0, 1, 3, 2, 4)
        maps = tiles.flatten(3, 4).flatten(1, 2)
        # One product an axis, both with the average of what overlaps.
        return self.get_buffer('put_rows') @ maps @ self.get_buffer('put_columns')


class Candidates(nn.Module):
    """Images -> candidates of their depth, by any function from crops to depth.

    The order is ratio by ratio, plain before mirrored. Holds no weights.
    """

    def __init__(self, ratios: tuple[float, ...], mirrored: bool, sizes: CropSizes) -> None:
        """ratios: of crops, see check_ratios. mirrored: whether mirrored crops are asked too."""
        super().__init__()
        check_ratios(ratios)
        self.ratios = ratios
        self.mirrored = mirrored
        self.sizes = sizes
        self._of_ratio = nn.ModuleList(CornerCrops(ratio, sizes) for ratio in ratios)

    def __len__(self) -> int:
        """How many candidates there are."""
        return len(self.ratios) * (2 if self.mirrored else 1)

    @property
    def crop_count(self) -> int:
        """K, how many crops of one image the network sees."""
        return sum(self._counts) * (2 if self.mirrored else 1)

    def crops(self, image: Tensor) -> Tensor:
        """Images [N,C,H,W] -> all crops [N K,C,h,w], image by image, the mirrored ones last."""
        plain = torch.cat([one.crops(image) for one in self._crops_of_ratio], 1)
        crops = torch.cat([plain, plain.flip(-1)], 1) if self.mirrored else plain
        return crops.flatten(0, 1)

    def assembled(self, answers: Tensor) -> Tensor:
        """Depth of all crops [N K,h,w] -> candidates [N,M,g,G]."""
        of_images = answers.unflatten(0, (-1, self.crop_count))
        if not self.mirrored:
            return torch.stack(self._assembled(of_images), 1)
        plain, mirrored = of_images.split(sum(self._counts), 1)
        pairs = zip(self._assembled(plain), self._assembled(mirrored.flip(-1)))
        return torch.stack([candidate for pair in pairs for candidate in pair], 1)

    @property
    def _crops_of_ratio(self) -> list[CornerCrops]:
        return [one for one in self._of_ratio if isinstance(one, CornerCrops)]

    @property
    def _counts(self) -> list[int]:
        return [one.count for one in self._crops_of_ratio]

    def _assembled(self, answers: Tensor) -> list[Tensor]:
        parts = answers.split(self._counts, 1)
        return [one.candidate(part) for one, part in zip(self._crops_of_ratio, parts)]


def _along_axis(
    ratio: float, image: int, network: int, answer: int, grid: int
) -> tuple[np.ndarray, np.ndarray]:
    """Matrices [k network, image] that cut and [grid, k answer] that put back, of one axis."""
    length = image if ratio == 1.0 else max(1, math.floor(ratio * image + 0.5))
    starts = [0] if ratio == 1.0 else [0, image - length]
    cut = [resampling_matrix(network, image, start, start + length) for start in starts]
    covered = np.zeros(image)
    put = []
    for start in starts:
        covered[start : start + length] += 1.0
        part = np.zeros((image, answer))
        part[start : start + length] = resampling_matrix(length, answer)
        put.append(part)
    whole = np.concatenate(put, 1) / covered[:, None]
    # The ratio's share along each axis: its root, so that both together divide by it.
    return np.concatenate(cut), resampling_matrix(grid, image) @ whole / math.sqrt(ratio)
