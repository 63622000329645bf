"""What keeps a thread of the node alive."""

from __future__ import annotations

import functools
import sys
import time
import traceback
from collections.abc import Callable
from types import TracebackType

from rclpy.executors import ExternalShutdownException

_PAUSE_S = 0.01
"""After an error, or one that comes again and again would take a whole processor."""


class Caught:
    """Hands over what fails inside, and goes on behind it; may be entered again and again.

    No generator of contextlib, though that were shorter: from one frame to the next its code gets
    cold, which costs each frame 0.03 ms.
    """

    def __init__(self, handle: Callable[[Exception], object]) -> None:
        """Give errors to `handle`, but for the one that ends the node."""
        self._handle = handle

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Whether there was an error that was handed over."""
        if not isinstance(error, Exception) or isinstance(error, ExternalShutdownException):
            return False
        self._handle(error)
        return True


def survived(tell: Callable[[str], object]) -> Caught:
    """What fails inside costs itself and is told of.

    A thread that ends by it would leave a node that is deaf without a word.

    Args:
        tell: takes an error with its traceback; it may fail too.
    """
    return Caught(functools.partial(_tell_of, tell))


def _tell_of(tell: Callable[[str], object], error: Exception) -> None:
    try:
        tell(''.join(traceback.format_exception(error)))
    except Exception:
        traceback.print_exc(file=sys.stderr)
    time.sleep(_PAUSE_S)
