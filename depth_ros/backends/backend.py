"""What every inference runtime is to the rest of the project."""

from __future__ import annotations

import abc
import sys
from collections.abc import Mapping

import numpy as np

from depth_ros.errors import BackendError


class Backend(abc.ABC):
    """One loaded graph. Used by one thread at a time."""

    computes_meanwhile: bool = True
    """Whether the caller goes on while the runtime computes."""
    caveat: str = ''
    """Why this is not the runtime or device that would have been better; empty where it is."""

    @property
    def max_batch(self) -> int:
        """Most frames that the runtime computes at once; submit divides what is more."""
        return sys.maxsize

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """What it really runs on, for people."""

    @property
    @abc.abstractmethod
    def input_names(self) -> tuple[str, ...]:
        """Names of the graph's inputs."""

    @property
    @abc.abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """Names of the graph's outputs."""

    @abc.abstractmethod
    def submit(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Begin to compute every output of the graph; a GPU computes while the caller goes on.

        Args:
            inputs: C-contiguous arrays by the names of the graph's inputs, free again on return.

        Raises:
            BackendError: names, shapes or types are not the graph's, or the runtime failed.
        """

    @abc.abstractmethod
    def wait(self) -> dict[str, np.ndarray]:
        """Return the outputs by name of the last submit, valid until the next but one submit.

        Raises:
            BackendError: the runtime failed, or nothing was submitted.
        """

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Submit and wait."""
        self.submit(inputs)
        return self.wait()

    @abc.abstractmethod
    def warm_up(self) -> None:
        """Run on empty pictures, so that the first real run is not slower than the next."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give back the memory, whatever state it is in; nothing may be run afterwards."""


class ImmediateBackend(Backend):
    """A runtime that computes while submit is called."""

    computes_meanwhile = False
    _answer: dict[str, np.ndarray] | None = None

    @abc.abstractmethod
    def compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph, in fresh arrays; raises as submit does."""

    def submit(self, inputs: Mapping[str, np.ndarray]) -> None:
        """See Backend; the inputs are read where they lie."""
        self._answer = None
        self._answer = self.compute(inputs)

    def wait(self) -> dict[str, np.ndarray]:
        """See Backend."""
        answer, self._answer = self._answer, None
        if answer is None:
            raise BackendError('nothing was submitted')
        return answer
