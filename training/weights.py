"""Weights of the networks by themselves: kept beside a model's graphs, to fine-tune it from.

The graphs cannot serve for that: their batch norms are folded into the convolutions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from depth_ros.errors import ModelError
from depth_ros.model_folder.model import write_checksums
from depth_ros.model_folder.npz import read_npz

WEIGHTS_FILE = 'weights.npz'
_LARGEST_BYTES = 16 << 30


def save_weights(state: Mapping[str, Tensor], model_folder: Path) -> None:
    """Write weights.npz into a model folder: filters in half precision, the rest as it is.

    Filters that half precision cannot hold stay as they are too.
    """
    arrays = {
        name: _halved(tensor.detach().cpu().contiguous().numpy())
        for name, tensor in state.items()
    }
    aside = model_folder / f'.{WEIGHTS_FILE}'
    try:
        with aside.open('wb') as file:
            np.savez(file, **arrays)
        os.replace(aside, model_folder / WEIGHTS_FILE)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise ModelError(
            f'cannot write {model_folder / WEIGHTS_FILE}: {error.strerror}'
        ) from None
    write_checksums(model_folder)


def read_weights(model_folder: Path) -> dict[str, Tensor]:
    """The weights of a model folder.

    Raises:
        ModelError: the folder has none, or the file is damaged.
    """
    path = model_folder / WEIGHTS_FILE
    if not path.is_file():
        raise ModelError(
            f'{model_folder} has no {WEIGHTS_FILE} to start from; give the checkpoint of its '
            f'training run'
        )
    arrays = read_npz(path, _LARGEST_BYTES)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _halved(array: np.ndarray) -> np.ndarray:
    if array.ndim < 2:
        return array
    with np.errstate(over='ignore'):
        half = array.astype(np.float16)
    return half if np.array_equal(np.isfinite(half), np.isfinite(array)) else array
