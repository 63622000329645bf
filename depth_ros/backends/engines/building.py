"""Builds a TensorRT engine of an ONNX graph; needs no GPU where it builds for another one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_ros.backends.engines.library import Library, Log
from depth_ros.backends.loading import Loading, LoadingCancelledError
from depth_ros.backends.options import EngineOptions
from depth_ros.errors import BackendError

_INTERRUPT_S = 0.2


@dataclass(frozen=True)
class BuiltEngine:
    """What a build gave."""

    engine: bytes
    timings: bytes
    """TensorRT's timing cache, for the next build; empty where it keeps none."""


def build_engine(
    library: Library,
    onnx_path: Path,
    options: EngineOptions,
    loading: Loading,
    *,
    target: str | None = None,
    timings: bytes = b'',
) -> BuiltEngine:
    """Build for the GPU here, or for another one.

    Args:
        library: TensorRT.
        onnx_path: the graph, whose types are the engine's.
        options: how.
        loading: is told the share that is done, and may cancel.
        target: a compute capability such as 'sm_89'; None: the GPU that is here.
        timings: timing cache of an earlier build of the same library on the same GPU.

    Raises:
        BackendError: the graph does not parse, cannot be built, or the library cannot do what is
            asked for.
        LoadingCancelledError: as `loading` wished.
    """
    api, log = library.api, Log(library)
    builder = api.Builder(log.logger)
    network = builder.create_network(_network_flags(library, options))
    _parse(api, network, log, onnx_path)
    config = builder.create_builder_config()
    _configure(library, config, options, target)
    profile = builder.create_optimization_profile()
    _set_shapes(network, profile, options.max_batch)
    config.add_optimization_profile(profile)
    cache = _timing_cache(config, timings)
    stop = threading.Event()
    if hasattr(config, 'progress_monitor'):
        config.progress_monitor = _make_monitor(api, loading, stop, onnx_path.name)
    loading.tell(f'building engine of {onnx_path.name}', 0.0)
    engine = _interruptible(lambda: builder.build_serialized_network(network, config), stop)
    if loading.cancelled():
        raise LoadingCancelledError(f'building the engine of {onnx_path.name} was cancelled')
    if engine is None:
        reason = log.last_error() or 'it gives no reason'
        raise BackendError(f'{library} cannot build {onnx_path}: {reason}')
    loading.tell(f'building engine of {onnx_path.name}', 1.0)
    return BuiltEngine(bytes(engine), b'' if cache is None else bytes(cache.serialize()))


def _network_flags(library: Library, options: EngineOptions) -> int:
    if options.fp16:
        if not library.has_fp16_flag:
            raise BackendError(
                f'{library} has no half-precision flag: precision belongs to the file; export '
                'one with `depth_ros export MODEL --precision fp16 --out MODEL_FP16`'
            )
        return 0
    strongly_typed = getattr(library.api.NetworkDefinitionCreationFlag, 'STRONGLY_TYPED', None)
    return 0 if strongly_typed is None else 1 << int(strongly_typed)


def _parse(api: Any, network: Any, log: Log, onnx_path: Path) -> None:
    parser = api.OnnxParser(network, log.logger)
    if parser.parse_from_file(str(onnx_path)):
        return
    errors = [parser.get_error(i).desc() for i in range(parser.num_errors)]
    reason = (errors or [log.last_error() or 'it gives no reason'])[0]
    raise BackendError(f'TensorRT cannot read {onnx_path}: {reason.strip().splitlines()[0]}')


def _configure(library: Library, config: Any, options: EngineOptions, target: str | None) -> None:
    api = library.api
    config.set_memory_pool_limit(api.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    if hasattr(config, 'builder_optimization_level'):
        config.builder_optimization_level = options.optimization_level
    # TF32 keeps ten bits of a single-precision file's twenty-three.
    if hasattr(api.BuilderFlag, 'TF32'):
        config.clear_flag(api.BuilderFlag.TF32)
    if options.fp16:
        config.set_flag(api.BuilderFlag.FP16)
    if target is not None:
        if not library.builds_for_other_gpus:
            raise BackendError(f'{library} builds for the GPU that is here alone; TensorRT-RTX '
                               'builds for others')
        config.num_compute_capabilities = 1
        config.set_compute_capability(_compute_capability(api, target), 0)


def _compute_capability(api: Any, target: str) -> Any:
    known = {
        f'sm_{name[2:]}': value
        for name, value in api.ComputeCapability.__members__.items()
        if name.startswith('SM')
    }
    if target not in known:
        allowed = ', '.join(sorted(known, key=_order))
        raise BackendError(f'target is {target!r}, allowed: {allowed}')
    return known[target]


def _order(target: str) -> int:
    return int(target[3:])


def _set_shapes(network: Any, profile: Any, max_batch: int) -> None:
    """Batches up to max_batch; every other dimension is fixed by the graph."""
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        _, *rest = tensor.shape
        if any(size < 0 for size in rest):
            raise BackendError(f'input {tensor.name} has shape {tuple(tensor.shape)}: only the '
                               'first dimension may be dynamic')
        profile.set_shape(tensor.name, (1, *rest), (max_batch, *rest), (max_batch, *rest))


def _timing_cache(config: Any, timings: bytes) -> Any:
    if not hasattr(config, 'create_timing_cache'):
        return None
    # One that is damaged or of another version is refused; then an empty one.
    cache = config.create_timing_cache(timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b'')
        config.set_timing_cache(cache, False)
    return cache


def _interruptible(work: Callable[[], Any], stop: threading.Event) -> Any:
    """Do it on another thread: TensorRT swallows an interrupt that meets its callbacks."""
    with ThreadPoolExecutor(1, 'engine builder') as executor:
        future = executor.submit(work)
        try:
            while not future.done():
                wait([future], timeout=_INTERRUPT_S)  # without a limit no signal gets through
        except BaseException:
            stop.set()
            raise
        return future.result()


def _make_monitor(api: Any, loading: Loading, stop: threading.Event, name: str) -> Any:
    class Monitor(api.IProgressMonitor):  # type: ignore[misc,name-defined]
        """Phases nest; each knows its parent and how many steps it has."""

        def __init__(self) -> None:
            api.IProgressMonitor.__init__(self)
            self._steps: dict[str, tuple[str | None, int, int]] = {}
            self._share = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = (parent_phase, 0, max(1, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            # A name may come twice, in two branches; then its share is off, and nothing else.
            parent, _, steps = self._steps.get(phase_name, (None, 0, step + 1))
            self._steps[phase_name] = (parent, step + 1, steps)
            share = 0.0
            phase: str | None = phase_name
            while phase is not None and phase in self._steps:
                phase, done, steps = self._steps[phase]
                share = min(1.0, (done + share) / steps)
            self._share = max(self._share, share)  # several phases may have no parent
            loading.tell(f'building engine of {name}', self._share)
            return not (stop.is_set() or loading.cancelled())

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
