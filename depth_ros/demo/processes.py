"""Child processes that never outlive their parent's block, each with a log of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from depth_ros.errors import DepthRosError

STOP_SECONDS = 10.0
LOG_TAIL_LINES = 8


class ProcessError(DepthRosError):
    """A process of ours ended when it should not have."""


class Child:
    """A running `python -m MODULE ...`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        """Use start() instead."""
        self.name = name
        self.pid = process.pid
        self._process = process
        self.log = log

    def finished(self) -> bool:
        """Whether it ended well.

        Raises:
            ProcessError: it ended badly; the message holds the end of its log.
        """
        status = self._process.poll()
        if status not in (None, 0):
            raise ProcessError(f'{self.name} ended with status {status}:\n{self.log_tail()}')
        return status == 0

    def require_running(self) -> None:
        """Complain about a process that should go on until it is stopped.

        Raises:
            ProcessError: it ended.
        """
        if self.finished():
            raise ProcessError(f'{self.name} ended too early:\n{self.log_tail()}')

    def log_tail(self) -> str:
        """The last lines that it printed."""
        lines = self.log.read_text(errors='replace').splitlines()
        return '\n'.join(f'  {line}' for line in lines[-LOG_TAIL_LINES:]) or '  (it said nothing)'

    def loaded_torch(self) -> bool:
        """Whether the running process has a library of torch in its memory (Linux)."""
        maps = Path(f'/proc/{self.pid}/maps').read_text()
        return '/site-packages/torch/' in maps or 'libtorch' in maps

    def stop(self) -> None:
        """Ask it to end, and kill it where it does not in time."""
        if self._process.poll() is None:
            # Not SIGINT, which it ignores where a shell started us in the background.
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


@contextlib.contextmanager
def start(
    name: str, module_and_arguments: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator[Child]:
    """Run `python -m ...` until the block ends, however it ends; output goes to `log`."""
    child: Child | None = None
    try:
        with open(log, 'wb') as output, _interrupts_wait():
            process = subprocess.Popen(
                [sys.executable, '-m', *module_and_arguments],
                env={**os.environ, **environment, 'PYTHONUNBUFFERED': '1'},
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal reaches this process alone, which then stops its children.
                start_new_session=True,
            )  # fmt: skip
            child = Child(name, process, log)
        yield child
    finally:
        if child is not None:
            child.stop()


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block ends: amid a start they would leave an orphan.

    For the main thread, the only one that may set handlers and is interrupted.
    """
    waiting: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(n, lambda number, frame: waiting.append(number)) for n in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)
    if waiting:
        raise KeyboardInterrupt
