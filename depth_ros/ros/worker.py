"""The thread that computes: it takes the newest frame, and no other."""

from __future__ import annotations

import threading
from collections.abc import Callable

from depth_ros.ros.inputs import Arrival
from depth_ros.ros.mailbox import Mailbox


class Worker:
    """Runs a function on the newest of the images that are put in."""

    def __init__(self, process: Callable[[Arrival], None]) -> None:
        """Prepare; `start` makes it work."""
        self._process = process
        self._mailbox: Mailbox[Arrival] = Mailbox()
        self._thread: threading.Thread | None = None

    def put(self, arrival: Arrival) -> bool:
        """Hand an image over; True where it overtook one that was waiting."""
        return self._mailbox.put(arrival)

    def start(self) -> None:
        """Take images from now on."""
        self._mailbox.open()
        self._thread = threading.Thread(target=self._work, name='depth worker', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drop the image that waits, and wait for the one in flight."""
        self._mailbox.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        while (arrival := self._mailbox.take()) is not None:
            self._process(arrival)
