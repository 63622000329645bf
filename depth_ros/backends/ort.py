"""ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from depth_ros.backends.backend import ImmediateBackend
from depth_ros.backends.cores import physical_cores
from depth_ros.backends.eight_bits import ort_settings
from depth_ros.backends.options import BackendOptions, Device
from depth_ros.errors import BackendError

_CPU, _CUDA = 'CPUExecutionProvider', 'CUDAExecutionProvider'
_TYPES = {'tensor(uint8)': np.uint8, 'tensor(float)': np.float32}
_ERRORS_ONLY = 3


class OrtBackend(ImmediateBackend):
    """A graph in an ONNX Runtime session whose execution provider is the one asked for."""

    def __init__(self, onnx_path: Path, options: BackendOptions) -> None:
        """Load the graph.

        Raises:
            BackendError: ONNX Runtime is not installed, has not the device, or refuses the graph.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise BackendError(
                f'ONNX Runtime does not load ({error}); `pip install onnxruntime`'
            ) from error
        threads = options.threads or physical_cores()
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = _ERRORS_ONLY
        # Threads that spin while they wait take the cores from the rest of the robot.
        settings.add_session_config_entry('session.intra_op.allow_spinning', '0')
        for name, value in ort_settings().items():
            settings.add_session_config_entry(name, value)
        providers = _providers(options.device, onnxruntime.get_available_providers())
        try:
            self._session = onnxruntime.InferenceSession(
                str(onnx_path), settings, providers=providers
            )
        except Exception as error:  # its exceptions share no base class of their own
            raise BackendError(
                f'ONNX Runtime refuses {onnx_path}: {_first_line(error)}'
            ) from error
        # A provider that cannot start is dropped by ONNX Runtime with no more than a log line.
        self._provider = self._session.get_providers()[0]
        if options.device is Device.CUDA and self._provider != _CUDA:
            raise BackendError(
                f'ONNX Runtime could not start {_CUDA} and fell back to {self._provider}; '
                'check the CUDA and cuDNN libraries, or use device cpu'
            )
        if providers[0] != self._provider:
            self.caveat = (
                f'ONNX Runtime could not start {providers[0]}; check the CUDA and cuDNN '
                'libraries, or choose device cpu'
            )
        self._threads = threads
        self._output_names = [output.name for output in self._session.get_outputs()]
        self._version = onnxruntime.__version__

    @property
    def description(self) -> str:
        """Version, provider and threads."""
        return f'ONNX Runtime {self._version}, {self._provider}, {self._threads} threads'

    @property
    def input_names(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(entry.name for entry in self._session.get_inputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(self._output_names)

    def compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ImmediateBackend."""
        try:
            outputs = self._session.run(self._output_names, dict(inputs))
        except Exception as error:  # as above
            raise BackendError(f'ONNX Runtime failed: {_first_line(error)}') from error
        return dict(zip(self._output_names, outputs))

    def warm_up(self) -> None:
        """See Backend."""
        inputs = {}
        for entry in self._session.get_inputs():
            shape = [size if isinstance(size, int) else 1 for size in entry.shape]
            inputs[entry.name] = np.ones(shape, _TYPES[entry.type])
        self.run(inputs)

    def close(self) -> None:
        """See Backend."""
        del self._session


def has_cuda() -> bool:
    """Whether ONNX Runtime is installed and built for GPUs, which says nothing of their state."""
    try:
        import onnxruntime
    except ImportError:
        return False
    return _CUDA in onnxruntime.get_available_providers()


def _providers(device: Device, available: list[str]) -> list[str]:
    if device is Device.CUDA and _CUDA not in available:
        raise BackendError(
            'this ONNX Runtime is built without CUDA (it has '
            f'{", ".join(available)}); `pip install onnxruntime-gpu`, or use device cpu'
        )
    return [_CUDA, _CPU] if device.tries_gpu and _CUDA in available else [_CPU]


def _first_line(error: Any) -> str:
    return str(error).strip().split('\n', 1)[0]
