"""Where engines are kept: one file each, private to the user, whole or not there at all.

An engine file is code that runs on the GPU, so nobody else may write here, and nothing is taken
over from a model folder. A file is a JSON header, which says of what and on what the engine was
built and how it was verified, and the engine with its checksum.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_ros.backends.loading import Loading, LoadingCancelledError
from depth_ros.backends.options import EngineOptions
from depth_ros.errors import BackendError
from depth_ros.whole_files import write_whole

CACHE_VARIABLE = 'DEPTH_ROS_ENGINES'
"""Environment variable: folder of the engines instead of ~/.cache/depth_ros/engines."""
SUFFIX, REFUSED_SUFFIX = '.engine', '.refused'
_TIMINGS_SUFFIX, _KERNELS_SUFFIX = '.timings', '.kernels'
MAX_BYTES = 4 << 30
"""Of all engines together; the ones not used for longest go first."""
_MAGIC = b'depth_ros engine 1\n'
_MAX_HEADER_BYTES = 1 << 20
_POLL_S = 0.2


@dataclass(frozen=True)
class EngineKey:
    """All that an engine depends on: where anything differs, it is another engine."""

    graph_sha256: str
    """Of the ONNX file."""
    flavour: str
    version: str
    """Of TensorRT."""
    gpu: str
    """Name of the GPU; for one that is elsewhere its compute capability."""
    compute_capability: str
    options: EngineOptions

    @property
    def digest(self) -> str:
        """Twenty hexadecimal digits."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class EngineRecord:
    """What the header of an engine file tells."""

    key: EngineKey
    model: str
    """Name of the model, for people."""
    graph: str
    """Name of the ONNX file."""
    built: str
    """When, UTC."""
    seconds: float
    """That the build took."""
    difference: float | None
    """Relative difference from ONNX Runtime; None where it is not verified yet."""
    allowed: float | None

    @property
    def file_name(self) -> str:
        """Of the engine in the cache."""
        return f'{Path(self.graph).stem}-{self.key.digest}{SUFFIX}'


@dataclass(frozen=True)
class KeptEngine:
    """An engine file."""

    path: Path
    record: EngineRecord
    size: int
    used_s: float
    """When it was last used, seconds since 1970."""


def graph_sha256(onnx_path: Path) -> str:
    """The hash of a graph and of the weights beside it.

    Raises:
        BackendError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in (onnx_path, onnx_path.with_name(f'{onnx_path.name}.data')):
            if path == onnx_path or path.is_file():
                with path.open('rb') as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
    except OSError as error:
        raise BackendError(f'cannot read {error.filename}: {error.strerror}') from error
    return digest.hexdigest()


def pack_engine(record: EngineRecord, engine: bytes) -> bytes:
    """The bytes of an engine file."""
    header = {
        'record': dataclasses.asdict(record),
        'sha256': hashlib.sha256(engine).hexdigest(),
        'bytes': len(engine),
    }
    return _MAGIC + json.dumps(header, sort_keys=True).encode() + b'\n' + engine


def unpack_engine(data: bytes, what: str) -> tuple[EngineRecord, bytes]:
    """Read what pack_engine made.

    Raises:
        BackendError: it is no such file, or damaged.
    """
    record, header, rest = _unpack_header(data, what)
    if len(rest) != header['bytes'] or hashlib.sha256(rest).hexdigest() != header['sha256']:
        raise BackendError(f'{what} is damaged: its checksum is wrong')
    return record, rest


def _unpack_header(data: bytes, what: str) -> tuple[EngineRecord, dict[str, Any], bytes]:
    if not data.startswith(_MAGIC):
        raise BackendError(f'{what} is no engine of this depth_ros')
    line, _, rest = data[len(_MAGIC) :].partition(b'\n')
    try:
        header = json.loads(line)
        values = dict(header['record'])
        key = dict(values.pop('key'))
        options = EngineOptions(**key.pop('options'))
        record = EngineRecord(key=EngineKey(**key, options=options), **values)
        int(header['bytes']), str(header['sha256'])
    except (ValueError, TypeError, KeyError, UnicodeDecodeError) as error:
        raise BackendError(f'{what} is damaged: its header is unreadable') from error
    return record, header, rest


class EngineCache:
    """A folder of engines."""

    def __init__(self, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> None:
        """Open or make it.

        Args:
            folder: None: that of DEPTH_ROS_ENGINES, or of the user's cache.
            max_bytes: of all engines together.

        Raises:
            BackendError: it cannot be made, or others may write into it.
        """
        self.folder = folder or _default_folder()
        self._max_bytes = max_bytes
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = self.folder.stat()
        except OSError as error:
            raise BackendError(
                f'cannot make the engine cache {self.folder}: {error.strerror}'
            ) from error
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise BackendError(
                f'others may write into the engine cache {self.folder}, and engines are code; '
                f'`chmod 700` it, or set {CACHE_VARIABLE} to a folder of your own'
            )
        self.folder.chmod(0o700)

    def load(self, key: EngineKey, graph: str) -> bytes | None:
        """The engine of a key, None where there is none; a damaged file is removed."""
        path = self._path(key, graph)
        try:
            record, engine = unpack_engine(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None
        except (OSError, BackendError):
            path.unlink(missing_ok=True)
            return None
        if record.key != key:  # two keys of one digest, or a renamed file
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return engine

    def store(self, record: EngineRecord, engine: bytes) -> Path:
        """Keep an engine, and let go of the ones not used for longest.

        Raises:
            OSError: the disk is full or read-only; then nothing is left behind.
        """
        path = self.folder / record.file_name
        write_whole(path, pack_engine(record, engine), mode=0o600)
        self._refusal(record.key, record.graph).unlink(missing_ok=True)
        self.prune(self._max_bytes, keep=path)
        return path

    def forget(self, key: EngineKey, graph: str) -> None:
        """Remove an engine, or the refusal of one."""
        self._path(key, graph).unlink(missing_ok=True)
        self._refusal(key, graph).unlink(missing_ok=True)

    def refuse(self, key: EngineKey, graph: str, reason: str) -> None:
        """Note that the engine of a key computes wrongly, so that nobody builds it in vain."""
        with contextlib.suppress(OSError):
            write_whole(self._refusal(key, graph), reason, mode=0o600)

    def refusal(self, key: EngineKey, graph: str) -> str | None:
        """Why the engine of a key was refused; None where it was not."""
        try:
            return self._refusal(key, graph).read_text(errors='replace')
        except OSError:
            return None

    def engines(self) -> list[KeptEngine]:
        """All that are readable, the last used first."""
        found = []
        for path in self.folder.glob(f'*{SUFFIX}'):
            try:
                with path.open('rb') as file:
                    record, _, _ = _unpack_header(file.read(_MAX_HEADER_BYTES), str(path))
                status = path.stat()
            except (OSError, BackendError):
                continue
            found.append(KeptEngine(path, record, status.st_size, status.st_mtime))
        return sorted(found, key=lambda kept: kept.used_s, reverse=True)

    def prune(self, max_bytes: int, keep: Path | None = None) -> list[Path]:
        """Remove the engines not used for longest until the rest is small enough.

        Args:
            max_bytes: of what may stay; 0 removes all, timings, kernels and refusals too.
            keep: stays in any case.

        Returns:
            What was removed.
        """
        files = sorted(self.folder.glob(f'*{SUFFIX}'), key=_used_s, reverse=True)
        files.sort(key=lambda path: path != keep)
        removed, total = [], 0
        for path in files:
            with contextlib.suppress(OSError):
                total += path.stat().st_size
                if total > max_bytes and path != keep:
                    path.unlink()
                    removed.append(path)
        if max_bytes == 0:
            for suffix in (REFUSED_SUFFIX, _TIMINGS_SUFFIX, _KERNELS_SUFFIX):
                for path in self.folder.glob(f'*{suffix}'):
                    path.unlink(missing_ok=True)
                    removed.append(path)
        return removed

    def timings(self, key: EngineKey) -> bytes:
        """TensorRT's timing cache for the library and GPU of a key; empty where there is none."""
        try:
            return self._timings(key).read_bytes()
        except OSError:
            return b''

    def store_timings(self, key: EngineKey, timings: bytes) -> None:
        """Keep a timing cache; one that cannot be kept costs the next build time, no more."""
        if timings:
            with contextlib.suppress(OSError):
                write_whole(self._timings(key), timings, mode=0o600)

    def kernels_path(self, key: EngineKey) -> Path:
        """Where kernels that the library compiles while an engine runs are kept."""
        return self.folder / f'{key.digest}{_KERNELS_SUFFIX}'

    @contextlib.contextmanager
    def locked(self, key: EngineKey, loading: Loading) -> Iterator[None]:
        """Keep other processes from building the same engine meanwhile.

        Raises:
            LoadingCancelledError: `loading` wished so while another one built.
        """
        path = self.folder / f'{key.digest}.lock'
        with path.open('w') as handle:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    loading.tell('waiting for another process that builds this engine')
                if loading.cancelled():
                    raise LoadingCancelledError('waiting for an engine was cancelled')
                time.sleep(_POLL_S)
            yield

    def _path(self, key: EngineKey, graph: str) -> Path:
        return self.folder / f'{Path(graph).stem}-{key.digest}{SUFFIX}'

    def _refusal(self, key: EngineKey, graph: str) -> Path:
        return self._path(key, graph).with_suffix(REFUSED_SUFFIX)

    def _timings(self, key: EngineKey) -> Path:
        text = f'{key.flavour}\n{key.version}\n{key.gpu}\n{key.compute_capability}'
        return self.folder / f'{hashlib.sha256(text.encode()).hexdigest()[:20]}{_TIMINGS_SUFFIX}'


def _default_folder() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(home).expanduser() / 'depth_ros' / 'engines'


def _used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
