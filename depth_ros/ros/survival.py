"""What keeps a thread of the node alive."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rclpy.executors import ExternalShutdownException

_PAUSE_S = 0.01
"""After an error, or one that comes again and again would take a whole processor."""


@contextmanager
def survived(tell: Callable[[str], object]) -> Iterator[None]:
    """What fails inside costs itself and is told of.

    A thread that ends by it would leave a node that is deaf without a word.

    Args:
        tell: takes an error with its traceback; it may fail too.
    """
    try:
        yield
    except ExternalShutdownException:
        raise
    except Exception:
        try:
            tell(traceback.format_exc())
        except Exception:
            traceback.print_exc(file=sys.stderr)
        time.sleep(_PAUSE_S)
