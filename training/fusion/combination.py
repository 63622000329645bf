"""Candidates of depth, weighted and summed frequency by frequency."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from depth_ros.errors import ConfigError, ModelError
from depth_ros.model_folder.npz import read_npz
from depth_ros.system.whole_files import write_whole
from training.fusion.corner_crops import check_ratios
from training.fusion.spectra import Spectra

_LARGEST_BYTES = 1 << 30
_PARTS = {'weight_real': 'w_re', 'weight_imaginary': 'w_im', 'bias_real': 'b_re',
          'bias_imaginary': 'b_im'}  # fmt: skip


@dataclass(frozen=True)
class CombinationWeights:
    """What a fit found, of M candidates at K frequencies.

    Attributes:
        ratios: of the crops' sides to the image's, 1 first.
        mirrored: whether mirrored crops are candidates too, each after its plain one.
        image: rows and columns of the image that is cropped.
        grid: rows N1 and columns N2 of the candidates.
        bins: int64 [K], places in the flattened half plane [N1, N2 // 2 + 1]; all others take the
            mean of the whole image's candidates.
        weight_real, weight_imaginary, bias_real, bias_imaginary: float32 [M, K]; real and
            imaginary parts are regressions of their own.
        images: how many it was fitted on.
    """

    ratios: tuple[float, ...]
    mirrored: bool
    image: tuple[int, int]
    grid: tuple[int, int]
    bins: np.ndarray
    weight_real: np.ndarray
    weight_imaginary: np.ndarray
    bias_real: np.ndarray
    bias_imaginary: np.ndarray
    images: int

    def __post_init__(self) -> None:
        check_ratios(self.ratios)
        places = self.grid[0] * (self.grid[1] // 2 + 1)
        if self.bins.ndim != 1 or (len(self.bins) and not 0 <= self.bins.min() <= self.bins.max()
                                   < places):  # fmt: skip
            raise ConfigError(f'bins must be places in a half plane of {places}')
        need = (self.candidates, len(self.bins))
        for name in _PARTS:
            shape = getattr(self, name).shape
            if shape != need:
                raise ConfigError(f'{name} has the shape {shape}; need {need}')

    @property
    def candidates(self) -> int:
        """M, how many candidates there are."""
        return len(self.ratios) * self.of_whole_image

    @property
    def of_whole_image(self) -> int:
        """How many candidates come of the whole image; they are the first."""
        return 2 if self.mirrored else 1

    def everywhere(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Of all frequencies, fitted or not, for 'real' or 'imaginary' parts.

        Returns:
            weights float64 [M,bins] over the flattened half plane, and what all biases together
            take away [bins].
        """
        places = self.grid[0] * (self.grid[1] // 2 + 1)
        weight, taken = np.zeros((self.candidates, places)), np.zeros(places)
        weight[: self.of_whole_image] = 1.0 / self.of_whole_image
        fitted = getattr(self, f'weight_{part}').astype(np.float64)
        weight[:, self.bins] = fitted
        taken[self.bins] = (fitted * getattr(self, f'bias_{part}')).sum(0)
        return weight, taken

    def save(self, path: Path) -> None:
        """Write an npz file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        content = io.BytesIO()
        np.savez_compressed(
            content,
            ratios=self.ratios, flips=self.mirrored, input_size=self.image, grid=self.grid,
            bins=self.bins, num_train=self.images,
            **{short: getattr(self, name) for name, short in _PARTS.items()},
        )  # fmt: skip
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> CombinationWeights:
        """Read what `save` wrote.

        Raises:
            ModelError: there is no such file, or it is damaged.
        """
        try:
            arrays = read_npz(path, _LARGEST_BYTES)
            rows, columns = (int(value) for value in arrays['input_size'])
            grid_rows, grid_columns = (int(value) for value in arrays['grid'])
            return cls(
                ratios=tuple(float(ratio) for ratio in arrays['ratios']),
                mirrored=bool(arrays['flips']),
                image=(rows, columns),
                grid=(grid_rows, grid_columns),
                bins=arrays['bins'],
                images=int(arrays['num_train']),
                weight_real=arrays['w_re'],
                weight_imaginary=arrays['w_im'],
                bias_real=arrays['b_re'],
                bias_imaginary=arrays['b_im'],
            )
        except (ModelError, KeyError, ValueError, TypeError, ConfigError) as error:
            raise ModelError(f'{path} is no file of combination weights: {error}') from None


class FourierCombination(nn.Module):
    """Candidates [N,M,N1,N2] -> their combination [N,N1,N2].

    At every fitted frequency k and for the real and the imaginary part by itself:
    sum over m of w[m, k] (spectrum of candidate m at k - b[m, k]); see CombinationWeights.
    """

    def __init__(self, weights: CombinationWeights) -> None:
        super().__init__()
        self.spectra = Spectra(*weights.grid)
        half = self.spectra.half_plane
        for part in ('real', 'imaginary'):
            weight, taken = weights.everywhere(part)
            for name, value, shape in (
                ('weight', weight, (-1, *half)), ('bias', taken, half)
            ):  # fmt: skip
                tensor = torch.from_numpy(value.reshape(shape)).float()
                self.register_buffer(f'{name}_{part}', tensor, persistent=False)

    def forward(self, candidates: Tensor) -> Tensor:
        parts = []
        for name, spectrum in zip(('real', 'imaginary'), self.spectra(candidates)):
            weight, bias = self.get_buffer(f'weight_{name}'), self.get_buffer(f'bias_{name}')
            parts.append((spectrum * weight).sum(1) - bias)
        return self.spectra.backward_maps(*parts)
