"""What the TensorRT backend needs of CUDA: memory, a stream, and graphs of what was enqueued."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from depth_ros.errors import BackendError

_DEVICE_FILES = tuple(
    Path('/dev') / name for name in ('nvidiactl', 'nvhost-ctrl-gpu', 'nvgpu', 'dxg')
)
"""Of the desktop driver, of Jetsons, and of Windows' Linux."""
_NO_DEVICE = 100
"""CUDA's error number where there simply is no GPU."""


def is_present() -> bool:
    """Whether there is a GPU to try, also one that CUDA cannot open: opening it will tell."""
    if any(path.exists() for path in _DEVICE_FILES):
        return True
    try:
        count, _ = _count(_bindings())
    except BackendError:
        return False
    return count > 0


class PinnedArray:
    """Host memory that the GPU copies from and to by itself."""

    def __init__(self, address: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Of memory that the GPU gave."""
        count = math.prod(shape)
        memory = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address)
        self.address = address
        self.array = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)


class Gpu:
    """The first GPU that CUDA_VISIBLE_DEVICES leaves visible."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            BackendError: CUDA's bindings are not installed, or there is no GPU.
        """
        self._cuda = _bindings()
        count, reason = _count(self._cuda)
        if count == 0:
            raise BackendError(f'TensorRT needs an NVIDIA GPU, and CUDA finds none{reason}; use '
                               'backend auto or onnxruntime')
        # Waiting threads sleep: one that spins takes a core from the rest of the robot. Refused
        # where CUDA is in use already, which costs no more than that.
        self._cuda.cudaSetDeviceFlags(self._cuda.cudaDeviceScheduleBlockingSync)
        properties = self._call(self._cuda.cudaGetDeviceProperties, 0)
        name = properties.name
        self.name: str = name.decode() if isinstance(name, bytes) else str(name)
        self.compute_capability = f'sm_{properties.major}{properties.minor}'
        """As in 'sm_89'."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> PinnedArray:
        """Host memory, to be given back by free_pinned."""
        size = math.prod(shape) * dtype.itemsize
        address = self._call(self._cuda.cudaHostAlloc, size, self._cuda.cudaHostAllocDefault)
        return PinnedArray(int(address), shape, dtype)

    def free_pinned(self, memory: PinnedArray) -> None:
        """Give host memory back; its arrays must not be touched any more."""
        self._call(self._cuda.cudaFreeHost, memory.address)

    def allocate(self, size: int) -> int:
        """The address of device memory of `size` bytes."""
        return int(self._call(self._cuda.cudaMalloc, size))

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call(self._cuda.cudaFree, address)

    def make_stream(self) -> int:
        """The handle of a stream that waits for no other."""
        return int(
            self._call(self._cuda.cudaStreamCreateWithFlags, self._cuda.cudaStreamNonBlocking)
        )

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call(self._cuda.cudaStreamDestroy, stream)

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None:
        """Enqueue a copy of `size` bytes to the GPU."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._cuda.cudaMemcpyAsync, device, host, size, kind, stream)

    def copy_out(self, host: int, device: int, size: int, stream: int) -> None:
        """Enqueue a copy of `size` bytes from the GPU."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._cuda.cudaMemcpyAsync, host, device, size, kind, stream)

    def synchronize(self, stream: int) -> None:
        """Wait for all that was enqueued.

        Raises:
            BackendError: some of it failed.
        """
        self._call(self._cuda.cudaStreamSynchronize, stream)

    def capture(self, enqueue: Callable[[], None], stream: int) -> Any:
        """Record what `enqueue` puts into a stream, to be replayed in one call.

        Raises:
            BackendError: something of it cannot be recorded.
        """
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(self._cuda.cudaStreamBeginCapture, stream, mode)
        try:
            enqueue()
        except BaseException:
            # Else the stream would record for ever.
            error, graph = self._cuda.cudaStreamEndCapture(stream)
            if int(error) == 0:
                self._cuda.cudaGraphDestroy(graph)
            raise
        graph = self._call(self._cuda.cudaStreamEndCapture, stream)
        try:
            return self._call(self._cuda.cudaGraphInstantiate, graph, 0)
        finally:
            self._call(self._cuda.cudaGraphDestroy, graph)

    def launch(self, graph: Any, stream: int) -> None:
        """Enqueue a recording."""
        self._call(self._cuda.cudaGraphLaunch, graph, stream)

    def destroy_graph(self, graph: Any) -> None:
        """Give a recording back."""
        self._call(self._cuda.cudaGraphExecDestroy, graph)

    def _call(self, function: Callable[..., tuple[Any, ...]], *arguments: Any) -> Any:
        """Call into CUDA; its answer, if it has one.

        Raises:
            BackendError: naming the call and CUDA's reason.
        """
        try:
            error, *answer = function(*arguments)
        except RuntimeError as problem:  # the driver lacks the call
            raise BackendError(f'{function.__name__}: {_first_line(problem)}') from problem
        if int(error) != 0:
            reason = _error_text(self._cuda, error)
            raise BackendError(f'{function.__name__}: {reason} (CUDA error {int(error)})')
        return answer[0] if answer else None


def _bindings() -> Any:
    if find_spec('cuda') is None:
        raise BackendError("CUDA's Python bindings are not installed; `pip install "
                           'cuda-bindings`, or use backend auto')
    try:
        from cuda.bindings import runtime
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(f"CUDA's Python bindings do not load ({_first_line(error)}); `pip "
                           'install cuda-bindings` of 12.6 or newer, or use backend auto'
                           ) from error  # fmt: skip
    return runtime


def _count(cuda: Any) -> tuple[int, str]:
    """GPUs that are visible, and why there are none where CUDA says more than that."""
    try:
        error, count = cuda.cudaGetDeviceCount()
    except RuntimeError as problem:  # bindings before 12.9 load the driver's library here
        return 0, f' ({_first_line(problem)})'
    if int(error) == 0:
        return int(count), ''
    return 0, '' if int(error) == _NO_DEVICE else f' ({_error_text(cuda, error)})'


def _error_text(cuda: Any, error: Any) -> str:
    _, text = cuda.cudaGetErrorString(error)
    return text.decode() if isinstance(text, bytes) else str(text)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
