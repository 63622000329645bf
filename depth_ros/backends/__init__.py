"""Inference runtimes behind one small protocol; each is imported only when it is opened."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from depth_ros.errors import BackendError


class BackendKind(enum.Enum):
    """Which runtime computes."""

    AUTO = 'auto'
    """The best one that is installed and takes the model."""
    ONNXRUNTIME = 'onnxruntime'


class Device(enum.Enum):
    """What it computes on."""

    AUTO = 'auto'
    """A GPU where the runtime supports one and it starts, else the CPU."""
    CPU = 'cpu'
    CUDA = 'cuda'
    """An NVIDIA GPU or nothing: without one, opening the backend fails."""


@dataclass(frozen=True)
class BackendOptions:
    """How a model is to be run."""

    kind: BackendKind = BackendKind.AUTO
    device: Device = Device.AUTO
    threads: int = 0
    """CPU threads of one inference; 0: one for each physical core this process may use."""

    def __post_init__(self) -> None:
        """Refuse impossible thread counts.

        Raises:
            BackendError: threads below 0 or above 256.
        """
        if not 0 <= self.threads <= 256:
            raise BackendError(f'threads is {self.threads}, allowed: 0 (automatic) to 256')


class Backend(Protocol):
    """One loaded graph."""

    @property
    def description(self) -> str:
        """What it really runs on, for people."""

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output of the graph.

        Args:
            inputs: C-contiguous arrays by the names of the graph's inputs.

        Returns:
            The outputs by name, valid until the next but one run.

        Raises:
            BackendError: names, shapes or types are not the graph's, or the runtime failed.
        """

    def warm_up(self) -> None:
        """Run once on zeros, so that the first real run is not slower than the next."""

    def close(self) -> None:
        """Give back the memory; nothing may be run afterwards."""


def open_backend(onnx_path: Path, options: BackendOptions) -> Backend:
    """Load a graph into the runtime that `options` names.

    Raises:
        BackendError: the runtime is not installed, has not the device, or refuses the graph.
    """
    from depth_ros.backends.ort import OrtBackend

    return OrtBackend(onnx_path, options)
