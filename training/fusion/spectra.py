"""The discrete Fourier transform of real maps as matrix products: no runtime needs one of its own.

Spectra are half planes [.., N1, N2 // 2 + 1], as numpy.fft.rfft2 has them: unnormalised forward,
1 / (N1 N2) backward.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Spectra(nn.Module):
    """Real maps [..., N1, N2] to and from real and imaginary parts of their half planes."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.size = (rows, columns)
        half = columns // 2 + 1
        by_row = 2 * math.pi / rows * torch.outer(*[torch.arange(rows).double()] * 2)
        by_column = 2 * math.pi / columns * torch.outer(
            torch.arange(columns).double(), torch.arange(half).double()
        )  # fmt: skip
        # Bins that stand for their conjugates too count twice on the way back.
        twice = torch.full((half,), 2.0, dtype=torch.float64)
        twice[0] = 1.0
        if columns % 2 == 0:
            twice[-1] = 1.0
        back = (twice[:, None] * by_column.T.cos(), twice[:, None] * by_column.T.sin())
        for name, matrix in (
            ('row_cos', by_row.cos()),
            ('row_sin', by_row.sin()),
            ('column_cos', by_column.cos()),
            ('column_sin', by_column.sin()),
            ('back_cos', back[0] / (rows * columns)),
            ('back_sin', back[1] / (rows * columns)),
        ):
            self.register_buffer(name, matrix.float(), persistent=False)

    @property
    def half_plane(self) -> tuple[int, int]:
        """Rows and columns of a spectrum."""
        return self.size[0], self.size[1] // 2 + 1

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """[..., N1, N2] -> real and imaginary part [..., N1, N2 // 2 + 1]."""
        cos, sin = self.get_buffer('row_cos'), self.get_buffer('row_sin')
        real = maps @ self.get_buffer('column_cos')
        negative_imaginary = maps @ self.get_buffer('column_sin')
        return (
            cos @ real - sin @ negative_imaginary,
            -(sin @ real + cos @ negative_imaginary),
        )

    def backward_maps(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """The maps [..., N1, N2] of half planes: the inverse transform's real part."""
        cos, sin = self.get_buffer('row_cos'), self.get_buffer('row_sin')
        along = cos @ real - sin @ imaginary
        across = cos @ imaginary + sin @ real
        return along @ self.get_buffer('back_cos') - across @ self.get_buffer('back_sin')
