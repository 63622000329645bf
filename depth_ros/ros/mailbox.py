"""Hand-off of the newest frame from the thread that receives to the one that computes."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Holds one item at most: a newer one overtakes what was not taken yet.

    Latency then depends on the time to compute one frame and never on a queue.
    """

    def __init__(self) -> None:
        """Start empty and closed."""
        self._changed = threading.Condition()
        self._item: T | None = None
        self._open = False

    def open(self) -> None:
        """Accept items from now on."""
        with self._changed:
            self._open = True

    def close(self) -> None:
        """Drop what is in it, refuse what comes, and wake whoever waits."""
        with self._changed:
            self._open = False
            self._item = None
            self._changed.notify_all()

    def put(self, item: T) -> bool:
        """Store `item`; True where it overtook one that nobody took."""
        with self._changed:
            if not self._open:
                return False
            overtook = self._item is not None
            self._item = item
            self._changed.notify()
            return overtook

    def take(self) -> T | None:
        """Wait for an item; None once the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or not self._open)
            item, self._item = self._item, None
            return item
