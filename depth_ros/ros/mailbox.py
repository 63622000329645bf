"""Keeps the newest item of each sender until somebody has time for it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable, Iterable
from typing import Generic, TypeVar

K = TypeVar('K', bound=Hashable)
T = TypeVar('T')


class Mailbox(Generic[K, T]):
    """Holds one item at most of each sender: a newer one overtakes what was not taken yet.

    Latency then depends on the time to compute a frame and never on a queue. A newer item keeps
    the place of the one that it overtook, and senders are served in the order of their places: one
    that sends often never keeps another waiting for more than one item of its own.
    """

    def __init__(self) -> None:
        """Start empty and closed."""
        self._changed = threading.Condition()
        self._items: dict[K, T] = {}
        self._open = False

    def open(self) -> None:
        """Accept items from now on."""
        with self._changed:
            self._open = True

    def close(self) -> list[tuple[K, T]]:
        """Refuse what comes, and wake whoever waits; what was in it, each with its sender."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
            return self._taken(list(self._items))

    def put(self, sender: K, item: T) -> bool | None:
        """Store `item`; True where it overtook one that nobody took, None where it is refused."""
        with self._changed:
            if not self._open:
                return None
            overtook = sender in self._items
            self._items[sender] = item
            self._changed.notify()
            return overtook

    @property
    def holds_any(self) -> bool:
        """Whether there is something to take."""
        with self._changed:
            return bool(self._items)

    def wait(self) -> bool:
        """Wait for an item; False where the mailbox is closed instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or not self._open)
            return self._open

    def take(self, most: int = 1, served: Collection[K] = ()) -> list[tuple[K, T]]:
        """Take what is there, and wait for nothing.

        Args:
            most: items that are taken; the others keep their places.
            served: senders of whom nothing is taken.

        Returns:
            Items of different senders, each with its sender.
        """
        with self._changed:
            return self._taken([sender for sender in self._items if sender not in served][:most])

    def _taken(self, senders: Iterable[K]) -> list[tuple[K, T]]:
        return [(sender, self._items.pop(sender)) for sender in senders]
