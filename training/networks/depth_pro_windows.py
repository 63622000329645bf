"""Windows over an image, which a ViT sees one by one, and their answers put together again."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PATCH_PX = 16
"""Pixels of the image, in each direction, to one token of a ViT. Depth Pro's decoder enlarges the
tokens so often that its answer has the size of the image for this patch alone."""


@dataclass(frozen=True)
class WindowGrid:
    """Square windows that cover a square image evenly, per_side in each direction.

    window_px: side of a window, a multiple of `step`. scale: sides of a window that make up one
    of the image. Neighbours overlap by an even number of tokens, of which each gives up half.
    Source: Bochkovskii et al., Depth Pro, ICLR 2025, section 3.1.
    """

    per_side: int
    window_px: int
    scale: int

    @staticmethod
    def step(per_side: int, scale: int) -> int:
        """The number of pixels whose multiples can be a window's side. per_side >= scale."""
        tokens = 1
        while not _fits(tokens, per_side, scale):
            tokens += 1
        return tokens * PATCH_PX

    @property
    def count(self) -> int:
        """Windows in all."""
        return self.per_side**2

    @property
    def tokens(self) -> int:
        """Tokens to a window's side."""
        return self.window_px // PATCH_PX

    @property
    def distance_px(self) -> int:
        """Pixels from where a window begins to where its neighbour does."""
        return (self.scale - 1) * self.window_px // max(self.per_side - 1, 1)

    @property
    def cut(self) -> int:
        """Tokens that a window gives up on a side where it has a neighbour."""
        return (self.window_px - self.distance_px) // (2 * PATCH_PX) if self.per_side > 1 else 0

    def split(self, image: Tensor) -> Tensor:
        """[B, C, S, S] with S = scale * window_px -> [count, B, C, window_px, window_px].

        Windows go row by row, from the left.
        """
        starts = [i * self.distance_px for i in range(self.per_side)]
        rows = torch.stack([image[:, :, y : y + self.window_px] for y in starts])
        windows = [rows[..., x : x + self.window_px] for x in starts]
        return torch.stack(windows, dim=1).flatten(0, 1)

    def merge(self, maps: Tensor) -> Tensor:
        """What a ViT answers to each window as one map, cut and tiled without blending.

        maps: [count, B, C, tokens, tokens] in the order of split -> [B, C, N, N] with
        N = scale * tokens.
        """
        n, tokens, cut = self.per_side, self.tokens, self.cut
        grid = maps.unflatten(0, (n, n)).permute(2, 3, 0, 4, 1, 5)
        merged = grid.flatten(4, 5).flatten(2, 3)
        if cut == 0:
            return merged
        kept = [
            (i * tokens + (cut if i > 0 else 0), (i + 1) * tokens - (cut if i < n - 1 else 0))
            for i in range(n)
        ]
        merged = torch.cat([merged[:, :, start:stop] for start, stop in kept], dim=2)
        return torch.cat([merged[..., start:stop] for start, stop in kept], dim=3)


def common_step(grids: tuple[tuple[int, int], ...]) -> int:
    """The number of pixels whose multiples suit grids of all these (per_side, scale)."""
    return math.lcm(*(WindowGrid.step(per_side, scale) for per_side, scale in grids))


def _fits(tokens: int, per_side: int, scale: int) -> bool:
    if per_side == 1:
        return True
    distance, rest = divmod((scale - 1) * tokens, per_side - 1)
    return rest == 0 and (tokens - distance) % 2 == 0
