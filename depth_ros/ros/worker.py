"""What computes: it takes the newest frame of each camera, and no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from depth_ros.ros.camera_port import CameraPort
from depth_ros.ros.inputs import Arrival
from depth_ros.ros.mailbox import Mailbox
from depth_ros.ros.processor import FrameProcessor, Image
from depth_ros.ros.survival import survived

_SHORT_S = 0.005
"""Images that are answered within this are not worth another thread that receives meanwhile."""


class Worker:
    """Has the newest of the images that are put in answered, by one thread at a time."""

    def __init__(self, processor: FrameProcessor, failed: Callable[[str], object]) -> None:
        """Prepare; after `start` images are taken.

        Args:
            processor: answers.
            failed: told of errors that the processor does not charge an image with.
        """
        self._processor = processor
        self._survived = survived(failed)
        self._busy_since_s: float | None = None
        self._took_s = 0.0
        self._mailbox: Mailbox[CameraPort, Arrival] = Mailbox()
        self._working = threading.Lock()

    @property
    def busy_s(self) -> float:
        """How long it has been with the images at hand; 0 where there are none."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def put(self, port: CameraPort, arrival: Arrival) -> bool:
        """Hand an image over; True where it overtook one of its camera that was waiting."""
        overtook = self._mailbox.put(port, arrival)
        if overtook is None:
            port.drop()
        return bool(overtook)

    def start(self) -> None:
        """Take images from now on."""
        self._mailbox.open()

    def stop(self) -> None:
        """Drop images that wait or come from now on, and wait for those in flight."""
        for port, _ in self._mailbox.close():
            port.drop()
        with self._working:
            pass

    def work(self, let_receive: Callable[[], None]) -> None:
        """Answer the images that wait, unless another thread is at it: that one will.

        Args:
            let_receive: called before what may take long; see Receiving.
        """
        while self._mailbox.holds_any and self._working.acquire(blocking=False):
            try:
                self._answer(let_receive)
            finally:
                self._working.release()

    def _answer(self, let_receive: Callable[[], None]) -> None:
        long = self._took_s > _SHORT_S
        while images := self._more([]):
            if long:
                let_receive()
            began_s = self._busy_since_s = time.monotonic()
            with self._survived:
                self._processor.process(images, self._more)
            self._busy_since_s = None
            # A refused image of another camera in between says little of the next one.
            self._took_s = max(time.monotonic() - began_s, self._took_s / 2)
            long = True  # where other cameras' images keep coming, there is no end of it

    def _more(self, images: list[Image]) -> list[Image]:
        """What there is of cameras other than those of `images`, as far as a run has room."""
        served = [port for port, _ in images]
        return self._mailbox.take(self._processor.batch - len(served), served)
