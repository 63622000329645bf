"""Where engines are kept: one file each, private to the user, whole or not there at all.

An engine file is code that runs on the GPU, so nobody else may write here, and nothing is taken
over from a model folder. A file is a JSON header, which says of what and on what the engine was
built and how it was verified, and the engine with its checksum.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from depth_ros.backends.loading import Loading, LoadingCancelledError
from depth_ros.backends.options import EngineOptions
from depth_ros.errors import BackendError
from depth_ros.model_folder.model import data_file_of
from depth_ros.system.whole_files import write_whole

CACHE_VARIABLE = 'DEPTH_ROS_ENGINES'
"""Environment variable: folder of the engines instead of ~/.cache/depth_ros/engines."""
SUFFIX = '.engine'
_REFUSED_SUFFIX, _LOCK_SUFFIX = '.refused', '.lock'
_TIMINGS_SUFFIX, _KERNELS_SUFFIX = '.timings', '.kernels'
MAX_BYTES = 4 << 30
"""Of all engines together; the ones not used for longest go first."""
_MAGIC = b'depth_ros engine 1\n'
_MAX_HEADER_BYTES = 1 << 20
_POLL_S = 0.2
_FORGET_AFTER_S = 30 * 86400.0


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

    def file_name(self, graph: str) -> str:
        """Of the engine of an ONNX file of that name, in the cache."""
        return f'{Path(graph).stem}-{self.digest}{SUFFIX}'


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
        for path in (onnx_path, data_file_of(onnx_path)):
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
        folder = folder or _default_folder()
        self._max_bytes = max_bytes
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder = folder.resolve()
            status = self.folder.stat()
            if status.st_uid != os.geteuid():
                raise BackendError(
                    f'the engine cache {self.folder} belongs to another user (id '
                    f'{status.st_uid}), and engines are code; set {CACHE_VARIABLE} to a folder of '
                    'your own'
                )
            if stat.S_IMODE(status.st_mode) & 0o022:
                raise BackendError(
                    f'others may write into the engine cache {self.folder}, and engines are code; '
                    f'remove it, or set {CACHE_VARIABLE} to a folder of your own'
                )
            if stat.S_IMODE(status.st_mode) != 0o700:
                self.folder.chmod(0o700)
        except OSError as error:
            raise BackendError(
                f'cannot use the engine cache {folder}: {error.strerror}'
            ) from error

    def load(self, key: EngineKey, graph: str) -> bytes | None:
        """The engine of a key, None where there is none or its file is damaged."""
        path = self._path(key, graph)
        try:
            record, engine = unpack_engine(read_own(path), str(path))
        except (OSError, BackendError):
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
        path = self._path(record.key, record.graph)
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
        """Remove the engines not used for longest, with their kernels, until the rest is small.

        Whatever else is older than a month goes too: refusals, timings, half-written files.

        Args:
            max_bytes: of the engines and kernels that may stay; 0 removes everything.
            keep: this engine stays in any case.

        Returns:
            What was removed.
        """
        engines = sorted(self.folder.glob(f'*{SUFFIX}'), key=_used_s, reverse=True)
        engines.sort(key=lambda path: path != keep)
        removed, total, kept = [], 0, set()
        for path in engines:
            files = [path, path.with_name(f'{_digest_of(path)}{_KERNELS_SUFFIX}')]
            total += sum(_size(file) for file in files)
            if total > max_bytes and path != keep:
                removed += [file for file in files if _removed(file)]
            else:
                kept.update(files)
        oldest_s = time.time() - (0 if max_bytes == 0 else _FORGET_AFTER_S)
        for path in self.folder.iterdir():
            # A lock that another process holds would be taken twice if its file went.
            if path not in kept and path.suffix != _LOCK_SUFFIX and _used_s(path) <= oldest_s:
                removed += [path] if _removed(path) else []
        return removed

    def timings(self, key: EngineKey) -> bytes:
        """TensorRT's timing cache for the library and GPU of a key; empty where there is none."""
        try:
            return read_own(self._timings(key))
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
            BackendError: the folder cannot be locked.
        """
        path = self.folder / f'{key.digest}{_LOCK_SUFFIX}'
        try:
            handle = path.open('w')
        except OSError as error:
            raise BackendError(f'cannot write {path}: {error.strerror}') from error
        with handle:
            while not _take(handle, path):
                loading.tell('waiting for another process that builds this engine')
                if loading.cancelled():
                    raise LoadingCancelledError('waiting for an engine was cancelled')
                time.sleep(_POLL_S)
            yield

    def _path(self, key: EngineKey, graph: str) -> Path:
        return self.folder / key.file_name(graph)

    def _refusal(self, key: EngineKey, graph: str) -> Path:
        return self._path(key, graph).with_suffix(_REFUSED_SUFFIX)

    def _timings(self, key: EngineKey) -> Path:
        text = f'{key.flavour}\n{key.version}\n{key.gpu}\n{key.compute_capability}'
        return self.folder / f'{hashlib.sha256(text.encode()).hexdigest()[:20]}{_TIMINGS_SUFFIX}'


def _default_folder() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(home).expanduser() / 'depth_ros' / 'engines'


def read_own(path: Path) -> bytes:
    """Read a file of one's own that nobody else may write: no link, no one else's.

    Raises:
        OSError: it is not there, or it is not such a file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(handle, 'rb') as file:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
            raise PermissionError(errno.EPERM, 'others may write it', str(path))
        return file.read()


def _take(handle: TextIO, path: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # as on network file systems without locks
        raise BackendError(f'cannot lock {path}: {error.strerror}') from error
    return True


def _digest_of(engine: Path) -> str:
    return engine.stem.rsplit('-', 1)[-1]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _used_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
