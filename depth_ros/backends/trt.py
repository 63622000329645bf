"""TensorRT 10 or 11, or TensorRT-RTX: a verified engine on a stream of its own.

Bytes of a camera go to the GPU as they are, from pinned memory; copies and kernels of a run are
recorded once as a CUDA graph and replayed by one call. Engines come from
depth_ros.backends.engines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from depth_ros.backends.backend import Backend
from depth_ros.backends.engines.cache import read_own
from depth_ros.backends.engines.gpu import Gpu, PinnedArray
from depth_ros.backends.engines.library import Library, Log
from depth_ros.errors import BackendError
from depth_ros.system.whole_files import write_whole

_SLOTS = 2
"""Outputs of one run stay untouched during the next."""


class StaleEngineError(BackendError):
    """Bytes that are no engine of this library on this GPU."""


@dataclass(frozen=True)
class _Tensor:
    """An input or output of the engine, on the GPU and in pinned memory."""

    name: str
    is_input: bool
    device: int
    host: tuple[PinnedArray, ...]
    """[max_batch,...]; of an input one, of an output one a slot."""
    frame_bytes: int


@dataclass(frozen=True)
class _Run:
    """Views of the pinned memory for so many frames, and the slot of their outputs."""

    frames: int
    slot: int
    inputs: tuple[tuple[str, np.ndarray], ...]
    outputs: dict[str, np.ndarray]


class TrtBackend(Backend):
    """An engine with its buffers; nothing is allocated from frame to frame."""

    def __init__(
        self,
        library: Library,
        gpu: Gpu,
        engine: bytes,
        title: str,
        kernels_path: Path | None = None,
    ) -> None:
        """Load an engine.

        Args:
            library: that built it.
            gpu: to run on.
            engine: the engine. It is code: only from one's own cache.
            title: what is told of it.
            kernels_path: where TensorRT-RTX, which compiles kernels when they are first run, keeps
                them for the next start; None: nowhere.

        Raises:
            StaleEngineError: the engine is damaged, of another version or another GPU.
            BackendError: the GPU has no room for it, or fails.
        """
        self._gpu = gpu
        self._title = title
        self._kernels_path = kernels_path
        self._kernels: Any = None
        self._log = Log(library)
        self._tensors: list[_Tensor] = []
        self._runs: dict[tuple[int, int], _Run] = {}
        self._graphs: dict[tuple[int, int], Any] = {}
        self._records = True
        self._slot = 0
        self._pending: list[dict[str, np.ndarray]] | None = None
        self._flying: _Run | None = None
        self._shaped_for = 0
        self._runs_since_shaped = 0
        self._runtime: Any = None
        self._config: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._stream = gpu.make_stream()
        try:
            self._load(library, engine)
        except BaseException:
            self.close()
            raise

    @property
    def description(self) -> str:
        """Library, GPU, and whether runs are replayed."""
        return self._title if self._records else f'{self._title}, without CUDA graph'

    @property
    def input_names(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(tensor.name for tensor in self._tensors if tensor.is_input)

    @property
    def output_names(self) -> tuple[str, ...]:
        """See Backend."""
        return tuple(tensor.name for tensor in self._tensors if not tensor.is_input)

    @property
    def max_batch(self) -> int:
        """See Backend."""
        return self._max_batch

    def submit(self, inputs: Mapping[str, np.ndarray]) -> None:
        """See Backend; the arrays are copied into pinned memory."""
        if self._flying is not None:  # an answer that nobody waited for
            self._land()
        frames = self._checked(inputs)
        self._pending = None
        self._slot = (self._slot + 1) % _SLOTS
        if frames <= self._max_batch:
            self._start(inputs, 0, frames)
            return
        parts = []
        for first in range(0, frames, self._max_batch):
            self._start(inputs, first, min(frames, first + self._max_batch))
            parts.append({name: value.copy() for name, value in self._land().items()})
        self._pending = parts

    def wait(self) -> dict[str, np.ndarray]:
        """See Backend; the arrays are views of pinned memory."""
        parts, self._pending = self._pending, None
        if parts is not None:
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return self._land()

    def warm_up(self) -> None:
        """See Backend; records the graphs of single frames."""
        blank = {
            tensor.name: np.ones_like(tensor.host[0].array[:1])
            for tensor in self._tensors if tensor.is_input
        }  # fmt: skip
        for _ in range(2 * _SLOTS):
            self.run(blank)
        self._keep_kernels()

    def close(self) -> None:
        """See Backend. After a fault of the GPU nothing can be given back, and no call fails."""
        give_back: list[Callable[[], None]] = []
        if self._stream:
            give_back.append(partial(self._gpu.synchronize, self._stream))
        give_back += [partial(self._gpu.destroy_graph, graph) for graph in self._graphs.values()]
        give_back.append(self._forget_engine)
        for tensor in self._tensors:
            give_back.append(partial(self._gpu.free, tensor.device))
            give_back += [partial(self._gpu.free_pinned, memory) for memory in tensor.host]
        if self._stream:
            give_back.append(partial(self._gpu.destroy_stream, self._stream))
        self._graphs, self._runs, self._tensors, self._stream = {}, {}, [], 0
        for one in give_back:
            with contextlib.suppress(BackendError):
                one()

    def _forget_engine(self) -> None:
        # In this order: a context uses its engine, its kernels and its runtime to the end.
        self._context = None
        self._config = self._kernels = None
        self._engine = None
        self._runtime = None

    def _load(self, library: Library, data: bytes) -> None:
        api = library.api
        self._runtime = api.Runtime(self._log.logger)
        self._engine = self._runtime.deserialize_cuda_engine(data)
        if self._engine is None:
            raise StaleEngineError(f'{library} refuses the engine: {self._reason()}')
        self._context = self._make_context(api)
        if self._context is None:
            raise BackendError(f'{library} has no room for the engine: {self._reason()}')
        self._max_batch = self._greatest_batch(api)
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            _, *rest = self._engine.get_tensor_shape(name)
            dtype = np.dtype(api.nptype(self._engine.get_tensor_dtype(name)))
            is_input = self._engine.get_tensor_mode(name) == api.TensorIOMode.INPUT
            self._add_tensor(name, is_input, tuple(rest), dtype)

    def _make_context(self, api: Any) -> Any:
        strategies = getattr(api, 'DynamicShapesKernelSpecializationStrategy', None)
        if strategies is None:
            return self._engine.create_execution_context()
        # TensorRT-RTX compiles kernels for the shapes that it meets. Left to itself it runs slower
        # ones until that is done, and a graph recorded meanwhile would replay those for ever.
        config = self._config = self._engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        if self._kernels_path is not None:
            self._kernels = config.create_runtime_cache()
            with contextlib.suppress(OSError):
                # Those of another driver or GPU are refused by TensorRT, which compiles anew.
                self._kernels.deserialize(read_own(self._kernels_path))
            config.set_runtime_cache(self._kernels)
        return self._engine.create_execution_context(config)

    def _keep_kernels(self) -> None:
        if self._kernels is None or self._kernels_path is None:
            return
        compiled = self._kernels.serialize()
        if compiled is None:
            return
        with contextlib.suppress(OSError):  # costs the next start time, no more
            if not self._kernels_path.is_file() or read_own(self._kernels_path) != bytes(compiled):
                write_whole(self._kernels_path, bytes(compiled), mode=0o600)

    def _add_tensor(
        self, name: str, is_input: bool, rest: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        if any(size < 0 for size in rest):
            raise BackendError(f'{name} has shape {("N", *rest)}: only N may be dynamic')
        shape = (self._max_batch, *rest)
        frame_bytes = int(np.prod(rest)) * dtype.itemsize
        device = self._gpu.allocate(frame_bytes * self._max_batch)
        host: list[PinnedArray] = []
        try:
            for _ in range(1 if is_input else _SLOTS):
                host.append(self._gpu.pinned(shape, dtype))
        finally:
            # Known before anything else can fail, so that close gives it back.
            self._tensors.append(_Tensor(name, is_input, device, tuple(host), frame_bytes))
        self._context.set_tensor_address(name, device)

    def _greatest_batch(self, api: Any) -> int:
        for index in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(index)
            if self._engine.get_tensor_mode(name) == api.TensorIOMode.INPUT:
                _, _, greatest = self._engine.get_tensor_profile_shape(name, 0)
                return int(greatest[0])
        raise BackendError('the engine has no inputs')

    def _checked(self, inputs: Mapping[str, np.ndarray]) -> int:
        """How many frames there are."""
        expected = [tensor for tensor in self._tensors if tensor.is_input]
        if inputs.keys() != {tensor.name for tensor in expected}:
            raise BackendError(f'inputs are {sorted(inputs)}, the engine has '
                               f'{sorted(tensor.name for tensor in expected)}')
        frames = len(inputs[expected[0].name])
        for tensor in expected:
            given, own = inputs[tensor.name], tensor.host[0].array
            if given.dtype != own.dtype or given.shape != (frames, *own.shape[1:]) or not frames:
                raise BackendError(f'{tensor.name} is {given.dtype} {given.shape}, the engine '
                                   f'takes {own.dtype} {("N", *own.shape[1:])}')
        return frames

    def _start(self, inputs: Mapping[str, np.ndarray], first: int, last: int) -> None:
        run = self._run_of(last - first, self._slot)
        self._shape_for(run)
        for name, host in run.inputs:
            np.copyto(host, inputs[name][first:last])
        key = (run.frames, run.slot)
        graph = self._graphs.get(key)
        if graph is not None:
            self._gpu.launch(graph, self._stream)
        else:
            self._enqueue(run)
        self._flying = run
        self._runs_since_shaped += 1

    def _land(self) -> dict[str, np.ndarray]:
        run, self._flying = self._flying, None
        if run is None:
            raise BackendError('nothing was submitted')
        self._gpu.synchronize(self._stream)
        key = (run.frames, run.slot)
        # Frames of several cameras come in changing numbers: what changes again at once is not
        # worth a recording.
        settled = self._runs_since_shaped > _SLOTS
        if self._records and settled and key not in self._graphs:
            self._record(run)
        return run.outputs

    def _record(self, run: _Run) -> None:
        """After a first run as it is, which lets TensorRT prepare what it must not do later."""
        capturable = getattr(self._context, 'is_stream_capturable', None)
        if capturable is not None and not capturable(self._stream):
            self._records = False
            return
        try:
            self._graphs[run.frames, run.slot] = self._gpu.capture(
                lambda: self._enqueue(run), self._stream
            )
        except BackendError:
            self._records = False  # some layer waits for the host: then every run is enqueued

    def _enqueue(self, run: _Run) -> None:
        gpu, stream = self._gpu, self._stream
        for tensor in self._tensors:
            if tensor.is_input:
                size = tensor.frame_bytes * run.frames
                gpu.copy_in(tensor.device, tensor.host[0].address, size, stream)
        if not self._context.execute_async_v3(stream):
            raise BackendError(f'TensorRT failed: {self._reason()}')
        for tensor in self._tensors:
            if not tensor.is_input:
                size = tensor.frame_bytes * run.frames
                gpu.copy_out(tensor.host[run.slot].address, tensor.device, size, stream)

    def _shape_for(self, run: _Run) -> None:
        if self._shaped_for == run.frames:
            return
        # Recordings belong to the shape for which they were made.
        for graph in self._graphs.values():
            self._gpu.destroy_graph(graph)
        self._graphs = {}
        self._shaped_for = 0
        for name, host in run.inputs:
            if not self._context.set_input_shape(name, host.shape):
                raise BackendError(f'TensorRT refuses {name} {host.shape}: {self._reason()}')
        self._shaped_for = run.frames
        self._runs_since_shaped = 0

    def _run_of(self, frames: int, slot: int) -> _Run:
        run = self._runs.get((frames, slot))
        if run is None:
            inputs = tuple((tensor.name, tensor.host[0].array[:frames])
                           for tensor in self._tensors if tensor.is_input)  # fmt: skip
            outputs = {tensor.name: tensor.host[slot].array[:frames]
                       for tensor in self._tensors if not tensor.is_input}  # fmt: skip
            run = self._runs[frames, slot] = _Run(frames, slot, inputs, outputs)
        return run

    def _reason(self) -> str:
        return self._log.last_error() or 'it gives no reason'
