"""Files of weights: written, read without running what is in them, and filled in strictly."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth_ros.errors import ModelError

_NAMED_KEYS = 4
_UNREADABLE = (
    OSError, RuntimeError, EOFError, KeyError, ValueError,
    pickle.UnpicklingError, zipfile.BadZipFile,
)  # fmt: skip
_FOREIGN = re.compile(r'GLOBAL ([\w.]+)')


def read_weights_file(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """What torch.save wrote: tensors and plain values by name. Runs no code of the file.

    Args:
        path: the file.
        mapped: leave the tensors in the file until they are used, and do not change it meanwhile.

    Raises:
        ModelError: missing, damaged, no mapping, or with objects that only code could make.
    """
    try:
        mapped = mapped and zipfile.is_zipfile(path)  # older files cannot be
        contents = torch.load(path, map_location='cpu', weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise ModelError(f'{path} is missing') from None
    except _UNREADABLE as error:
        foreign = _FOREIGN.search(str(error))
        if foreign is not None:
            raise ModelError(
                f'{path} holds a {foreign[1]} beside its weights, which could run any code when '
                "it is read; where you trust it, save what its key 'state_dict' holds by itself"
            ) from None
        raise ModelError(f'{path} is damaged or no file of weights') from error
    if not isinstance(contents, Mapping):
        raise ModelError(f'{path} holds a {type(contents).__name__}, not a state dict')
    return dict(contents)


def write_weights_file(contents: Mapping[str, Any], path: Path) -> None:
    """Write what read_weights_file reads; half of it may stay where that fails.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with path.open('wb') as file:
            torch.save(dict(contents), file)
    except RuntimeError as error:
        # After a write that failed torch goes on to miss what should have been written.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def fill_strictly(module: nn.Module, state: Mapping[str, Any], path: Path) -> None:
    """Load every tensor of a module and nothing else.

    Files older than batch norm's step counter may lack it.

    Raises:
        ModelError: keys are missing, unknown or of another shape; they and `path` are named.
    """
    expected = module.state_dict()
    complete = {
        **{key: value for key, value in expected.items() if _is_counter(key)},
        **state,
    }
    refuse_keys('lacks', expected.keys() - complete.keys(), path)
    refuse_keys('has unknown', complete.keys() - expected.keys(), path)
    for key, value in complete.items():
        refuse_shape(key, value, tuple(expected[key].shape), path)
    module.load_state_dict(complete, strict=True)


def refuse_keys(problem: str, keys: Iterable[str], path: Path) -> None:
    """Raise ModelError that names the first few of these keys, if there are any."""
    wrong = sorted(keys)
    if wrong:
        named = ', '.join(wrong[:_NAMED_KEYS])
        more = f' and {len(wrong) - _NAMED_KEYS} more' if len(wrong) > _NAMED_KEYS else ''
        raise ModelError(f'{path} {problem} keys {named}{more}')


def refuse_shape(key: str, value: Any, shape: tuple[int, ...], path: Path) -> None:
    """Raise ModelError unless the value is a tensor of this shape."""
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if found != shape:
        raise ModelError(f'{path}: {key} is {found}; need {shape}')


def _is_counter(key: str) -> bool:
    return key.endswith('num_batches_tracked')
