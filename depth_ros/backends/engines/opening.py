"""A graph to a running engine: kept from earlier, or built, verified and kept now."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from depth_ros.backends.engines.building import build_engine
from depth_ros.backends.engines.cache import (
    EngineCache,
    EngineKey,
    EngineRecord,
    graph_sha256,
    unpack_engine,
)
from depth_ros.backends.engines.gpu import Gpu
from depth_ros.backends.engines.library import Library, find_library
from depth_ros.backends.loading import UNWATCHED, Loading
from depth_ros.backends.options import BackendOptions, Device, EngineOptions
from depth_ros.backends.parity import ACCEPTED, ParityCase, WrongAnswersError, verify
from depth_ros.backends.trt import StaleEngineError, TrtBackend
from depth_ros.errors import BackendError, DepthRosError
from depth_ros.model_folder.spec import Precision


@dataclass(frozen=True)
class Machine:
    """TensorRT and the GPU that are here."""

    library: Library
    gpu: Gpu

    @classmethod
    def find(cls) -> Machine:
        """Open both.

        Raises:
            BackendError: one of them is missing.
        """
        return cls(find_library(), Gpu())

    def key(self, onnx_path: Path, options: EngineOptions) -> EngineKey:
        """Of the engine of a graph on this machine.

        Raises:
            BackendError: the graph cannot be read.
        """
        return EngineKey(
            graph_sha256(onnx_path),
            self.library.flavour.value,
            self.library.version,
            self.gpu.name,
            self.gpu.compute_capability,
            options,
        )

    def load(self, engine: bytes, kernels_path: Path | None = None) -> TrtBackend:
        """Load an engine of one's own cache.

        Args:
            engine: the engine.
            kernels_path: of kernels that were compiled for it, see TrtBackend.

        Raises:
            BackendError: it is damaged or does not fit.
        """
        title = f'{self.library}, {self.gpu.name}'
        return TrtBackend(self.library, self.gpu, engine, title, kernels_path)


def open_engine(
    onnx_path: Path,
    options: BackendOptions,
    verification: Callable[[], ParityCase] | None,
    loading: Loading = UNWATCHED,
) -> TrtBackend:
    """The engine of a graph, ready to run.

    Args:
        onnx_path: the graph.
        options: of the engine.
        verification: the frames on which a new engine is compared with ONNX Runtime.
        loading: is told the progress of a build, and may cancel it.

    Raises:
        BackendError: no TensorRT or no GPU, or the engine cannot be built or computes wrongly.
        LoadingCancelledError: as `loading` wished.
    """
    if options.device is Device.CPU:
        raise BackendError('TensorRT runs on a GPU; device is cpu, allowed: auto, cuda')
    if verification is None:
        raise BackendError(f'{onnx_path} comes without frames to verify its engine by')
    try:
        return _open(onnx_path, options, verification, loading)
    except DepthRosError:
        raise
    except Exception as error:  # bindings raise what they like where CUDA does not start
        problem = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise BackendError(f'TensorRT does not work here: {problem}') from error


def _open(
    onnx_path: Path,
    options: BackendOptions,
    verification: Callable[[], ParityCase],
    loading: Loading,
) -> TrtBackend:
    machine = Machine.find()
    cache = EngineCache()
    key, graph = machine.key(onnx_path, options.engine), onnx_path.name
    kept = _kept(machine, cache, key, graph)
    if kept is not None:
        return kept
    with cache.locked(key, loading):
        kept = _kept(machine, cache, key, graph)  # another process may have built it meanwhile
        if kept is not None:
            return kept
        refusal = cache.refusal(key, graph)
        if refusal is not None:
            raise BackendError(f'{refusal} (`depth_ros engine {_arguments(onnx_path, key)}` tries '
                               'again)')
        return _build(machine, cache, onnx_path, key, verification(), loading)


def install_engine(path: Path, onnx_path: Path, case: ParityCase) -> Path:
    """Take an engine file that was built elsewhere into the cache, after it was verified here.

    Args:
        path: what `depth_ros engine --target` wrote. It is code that will run on the GPU.
        onnx_path: the graph that it must be of.
        case: the frames on which it is compared with ONNX Runtime.

    Raises:
        BackendError: it is damaged, of another graph, library or GPU, or computes wrongly.
        OSError: it cannot be read, or not be kept.
    """
    record, engine = unpack_engine(path.read_bytes(), str(path))
    machine, cache = Machine.find(), EngineCache()
    own = machine.key(onnx_path, record.key.options)
    built_for = replace(record.key, gpu=own.gpu)
    if built_for != own:
        raise BackendError(f'{path} is of {_differences(built_for, own)}')
    with closing(machine.load(engine)) as backend:
        difference, allowed = verify(backend, onnx_path, case, _own_tolerance(record.key.options))
    record = replace(record, key=own, difference=difference, allowed=allowed)
    return cache.store(record, engine)


def _own_tolerance(options: EngineOptions) -> float:
    return ACCEPTED[Precision.FP16] if options.fp16 else 0.0


def _kept(machine: Machine, cache: EngineCache, key: EngineKey, graph: str) -> TrtBackend | None:
    engine = cache.load(key, graph)
    if engine is None:
        return None
    try:
        return machine.load(engine, cache.kernels_path(key))
    except StaleEngineError:  # whole, but of another driver: built again
        return None


def _build(
    machine: Machine,
    cache: EngineCache,
    onnx_path: Path,
    key: EngineKey,
    case: ParityCase,
    loading: Loading,
) -> TrtBackend:
    started = time.monotonic()
    built = build_engine(
        machine.library, onnx_path, key.options, loading, timings=cache.timings(key)
    )
    seconds = time.monotonic() - started
    cache.store_timings(key, built.timings)
    backend = machine.load(built.engine, cache.kernels_path(key))
    try:
        loading.tell(f'verifying engine of {onnx_path.name}')
        difference, allowed = verify(backend, onnx_path, case, _own_tolerance(key.options))
    except BaseException as error:
        if isinstance(error, WrongAnswersError):
            cache.refuse(key, onnx_path.name, str(error))
        backend.close()
        raise
    record = make_record(key, onnx_path, seconds, difference, allowed)
    try:
        cache.store(record, built.engine)
    except OSError as error:
        backend.caveat = f'the engine is not kept in {cache.folder}: {error.strerror}'
    return backend


def make_record(
    key: EngineKey,
    onnx_path: Path,
    seconds: float,
    difference: float | None = None,
    allowed: float | None = None,
) -> EngineRecord:
    """What the header of an engine built now tells."""
    return EngineRecord(
        key=key,
        model=onnx_path.parent.name,
        graph=onnx_path.name,
        built=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        seconds=round(seconds, 1),
        difference=difference,
        allowed=allowed,
    )


def _arguments(onnx_path: Path, key: EngineKey) -> str:
    """Of the verb that builds the engine of a key again."""
    plain, own = EngineOptions(), key.options
    words = [str(onnx_path.parent), '--rebuild']
    for flag, value, default in (
        ('--engine-workspace', own.workspace_mib, plain.workspace_mib),
        ('--engine-optimization-level', own.optimization_level, plain.optimization_level),
        ('--max-batch', own.max_batch, plain.max_batch),
    ):
        words += [] if value == default else [flag, str(value)]
    return ' '.join([*words, *(['--engine-fp16'] if own.fp16 else [])])


def _differences(given: EngineKey, own: EngineKey) -> str:
    texts = []
    if given.graph_sha256 != own.graph_sha256:
        texts.append('another graph')
    if (given.flavour, given.version) != (own.flavour, own.version):
        texts.append(f'{given.flavour} {given.version}, here is {own.flavour} {own.version}')
    if given.compute_capability != own.compute_capability:
        texts.append(f'{given.compute_capability}, this GPU is {own.compute_capability}')
    return '; '.join(texts)
