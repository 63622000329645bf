"""Chooses the runtime for a graph."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from depth_ros.backends.backend import Backend
from depth_ros.backends.loading import UNWATCHED, Loading, LoadingCancelledError
from depth_ros.backends.options import BackendKind, BackendOptions, CpuPrecision, Device
from depth_ros.errors import BackendError

if TYPE_CHECKING:
    from depth_ros.backends.parity import ParityCase

Verification = Callable[[], 'ParityCase']
"""Makes the frames by which a compiled graph is compared with ONNX Runtime."""


def open_backend(
    onnx_path: Path,
    options: BackendOptions,
    verification: Verification | None = None,
    loading: Loading = UNWATCHED,
) -> Backend:
    """Load a graph into the runtime that `options` names.

    Args:
        onnx_path: the graph.
        options: the runtime. AUTO takes TensorRT where it and a GPU are there, else ONNX Runtime
            on the GPU, else OpenVINO where it is installed, else ONNX Runtime; the caveat of the
            backend tells what was there and could not be used.
        verification: what a runtime that compiles the graph is verified by; without it no engine
            of TensorRT is used, and OpenVINO is believed.
        loading: is told of what takes long, and may cancel it.

    Raises:
        BackendError: the runtime is not installed, has not the device, or refuses the graph.
        LoadingCancelledError: as `loading` wished.
    """
    if options.kind is not BackendKind.AUTO:
        return _OPENERS[options.kind](onnx_path, options, verification, loading)
    problems = _missing(options)
    for kind in _candidates(options, verification):
        try:
            backend = _OPENERS[kind](onnx_path, options, verification, loading)
        except LoadingCancelledError:
            raise
        except BackendError as error:
            problems.append(str(error))
        else:
            backend.caveat = '; '.join(filter(None, (*problems, backend.caveat)))
            return backend
    raise BackendError('; '.join(problems))


def _candidates(options: BackendOptions, verification: Verification | None) -> list[BackendKind]:
    """What AUTO tries, the best first; a runtime that is not installed is no candidate."""
    from depth_ros.backends.engines import library
    from depth_ros.backends.ort import has_cuda

    kinds, tries_gpu = [], options.device.tries_gpu
    if tries_gpu and verification is not None and library.is_installed():
        kinds.append(BackendKind.TENSORRT)
    on_gpu = tries_gpu and has_cuda()
    if not on_gpu and options.device is not Device.CUDA and find_spec('openvino') is not None:
        kinds.append(BackendKind.OPENVINO)
    return [*kinds, BackendKind.ONNXRUNTIME]


def _missing(options: BackendOptions) -> list[str]:
    """What would be better, and is not installed."""
    from depth_ros.backends.engines import library
    from depth_ros.backends.ort import has_cuda

    useless = options.device is Device.AUTO and options.device.tries_gpu
    if useless and not library.is_installed() and not has_cuda():
        return ['an NVIDIA GPU is here, but neither TensorRT nor onnxruntime-gpu; install one of '
                'them (docs/engines.md), or choose device cpu']  # fmt: skip
    return []


def _open_ort(
    onnx_path: Path, options: BackendOptions, verification: Verification | None, loading: Loading
) -> Backend:
    from depth_ros.backends.ort import OrtBackend

    return OrtBackend(onnx_path, options)


def _open_openvino(
    onnx_path: Path, options: BackendOptions, verification: Verification | None, loading: Loading
) -> Backend:
    from depth_ros.backends.ov import OpenVinoBackend
    from depth_ros.backends.parity import BF16_ACCEPTED, verify

    backend = OpenVinoBackend(onnx_path, options)
    if verification is not None:
        coarse = options.cpu_precision is CpuPrecision.BF16
        try:
            verify(backend, onnx_path, verification(), BF16_ACCEPTED if coarse else 0.0)
        except BaseException:
            backend.close()
            raise
    return backend


def _open_tensorrt(
    onnx_path: Path, options: BackendOptions, verification: Verification | None, loading: Loading
) -> Backend:
    from depth_ros.backends.engines.opening import open_engine

    return open_engine(onnx_path, options, verification, loading)


_OPENERS = {
    BackendKind.ONNXRUNTIME: _open_ort,
    BackendKind.OPENVINO: _open_openvino,
    BackendKind.TENSORRT: _open_tensorrt,
}
