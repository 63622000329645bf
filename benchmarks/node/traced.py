"""The depth node or the echo, with the time of each step of each frame taken from outside.

    python -m benchmarks.node.traced depth_node|echo FILE --ros-args ...

Writes the steps' median milliseconds into FILE when it ends.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.publisher import Publisher

from benchmarks.node import echo
from depth_ros import node
from depth_ros.messages.stamps import stamp_ns
from depth_ros.pipeline import CameraTrack
from depth_ros.pipeline.depth_pipeline import DepthPipeline
from depth_ros.ros.camera_port import CameraPort

_SKIPPED = 20
"""Frames at the start that do not count."""


class Trace:
    """Time from one mark to the next, by the name of what was done in between."""

    def __init__(self) -> None:
        """Begin with no frame."""
        self._frames: list[dict[str, float]] = []
        self._last = 0.0

    def start(self, stamp: int, taken: float) -> None:
        """A frame that was stamped when it was published was taken at a time.monotonic()."""
        transported = time.time() - 1e-9 * stamp - (time.monotonic() - taken)
        self._frames.append({'published to taken': 1e3 * transported})
        self._last = taken

    def mark(self, done: str) -> None:
        """Something was done since the last mark."""
        now = time.monotonic()
        if self._frames:
            self.add(done, now - self._last)
        self._last = now

    def resume(self) -> None:
        """What was done since the last mark is told by itself."""
        self._last = time.monotonic()

    def add(self, done: str, seconds: float) -> None:
        """Something took so long."""
        frame = self._frames[-1]
        frame[done] = frame.get(done, 0.0) + 1e3 * seconds

    def medians(self) -> dict[str, float]:
        """Milliseconds of each step."""
        frames = self._frames[_SKIPPED:]
        names = dict.fromkeys(name for frame in frames for name in frame)
        return {n: statistics.median(frame.get(n, 0.0) for frame in frames) for n in names}


def trace_depth_node(trace: Trace) -> None:
    """Mark the steps of depth_ros.ros.camera_port, which stand in the order of a frame."""
    prepare = CameraPort.prepare

    @functools.wraps(prepare)
    def prepared(port: CameraPort, arrival: Any) -> Any:
        began = time.monotonic()
        job = prepare(port, arrival)
        if job is not None:
            trace.start(stamp_ns(job.header), arrival.arrived_s)
            trace.add('taken to begun', began - arrival.arrived_s)
            trace.add('read and decoded', time.monotonic() - began)
            trace.resume()
        return job

    CameraPort.prepare = prepared  # type: ignore[method-assign]
    for owner, name, done in (
        (CameraPort, 'begin', "to the network's size"),
        (DepthPipeline, 'ask', 'networks'),
        (CameraTrack, 'see', 'to the pixels of the output'),
    ):
        setattr(owner, name, _marked(getattr(owner, name), trace, done))


def trace_echo(trace: Trace) -> None:
    """Mark when the echo's callback begins."""
    answer = echo.Echo._answer

    def answered(self: echo.Echo, image: Any) -> None:
        trace.start(stamp_ns(image.header), time.monotonic())
        answer(self, image)

    echo.Echo._answer = answered  # type: ignore[method-assign]


def trace_publishing(trace: Trace) -> None:
    """Mark messages that are filled and sent."""
    publish = Publisher.publish

    def published(self: Publisher, message: Any) -> None:
        if self.topic_name == '/diagnostics':
            publish(self, message)
            return
        trace.mark('messages filled')
        publish(self, message)
        trace.mark('messages handed to the middleware')

    Publisher.publish = published


def _marked(function: Callable[..., Any], trace: Trace, done: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def marked(*arguments: Any) -> Any:
        result = function(*arguments)
        trace.mark(done)
        return result

    return marked


def main() -> int:
    """Run it until it ends, and write."""
    subject, file = sys.argv[1], Path(sys.argv[2])
    del sys.argv[1:3]
    trace = Trace()
    trace_publishing(trace)
    if subject == 'echo':
        trace_echo(trace)
        echo.main()
    else:
        trace_depth_node(trace)
        node.main(sys.argv)
    file.write_text(json.dumps(trace.medians()))
    return 0


if __name__ == '__main__':
    sys.exit(main())
