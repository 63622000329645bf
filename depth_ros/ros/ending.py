"""How the process of a node ends: in order by a signal, at once by another one much later."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

_WAKE_S = 0.2
"""The main thread alone runs Python's signal handlers, and a signal that the system gives to
another thread does not wake it."""
_INSISTS_S = 3.0
"""A terminal and ros2 launch send the same interrupt twice within this time. What comes later is
of somebody who waits: ros2 launch sends SIGTERM after five seconds and SIGKILL after ten."""


class Ending:
    """Takes SIGINT and SIGTERM from when it is made, which is the main thread's business."""

    def __init__(self) -> None:
        """Install the handlers."""
        self._first_s: float | None = None
        self._asked = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def wait(self) -> None:
        """Until the first signal."""
        while not self._asked.wait(_WAKE_S):
            pass

    def end(self, close: Callable[[], None]) -> None:
        """Close everything, which may take as long as a frame that is computed.

        A runtime that hangs would keep the process for ever: a signal some seconds after the first
        one ends it as it is, with status 1.
        """
        errors: list[Exception] = []

        def run() -> None:
            try:
                close()
            except Exception as error:
                errors.append(error)

        closing = threading.Thread(target=run, name='closing', daemon=True)
        closing.start()
        while closing.is_alive():
            closing.join(_WAKE_S)
        if errors:
            raise errors[0]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_s is None:
            self._first_s = now
            self._asked.set()
        elif now - self._first_s >= _INSISTS_S:
            waited_s = now - self._first_s
            print(
                f'depth_node: told to end {waited_s:.0f} s ago and again now; it ends without '
                'waiting for what runs',
                file=sys.stderr,
                flush=True,
            )
            os._exit(1)
