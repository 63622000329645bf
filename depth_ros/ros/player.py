"""Publishes a bag at the times of its recording, every message as the bytes that were recorded."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock

from depth_ros.bags import BagReader, Topic
from depth_ros.errors import BagError, ConfigError
from depth_ros.messages.bag_messages import COMPRESSED_IMAGE, IMAGE
from depth_ros.ros.readiness import wait_until_ready
from depth_ros.ros.serialized import header_stamp_ns

_SETTLE_S = 0.5
"""Between finding the readers and the first message: they have to find us too; and at the end,
so that the last message leaves before the process does."""
_QUEUE = 10
_IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class PlayRequest:
    """What to publish, and how."""

    bag: Path
    topics: tuple[str, ...]
    """Recorded names; empty: all of them."""
    names: Mapping[str, str]
    """Recorded name to the one that is published, where it is another."""
    rate: float = 1.0
    """Times the recorded speed."""
    loop: bool = False
    clock_hz: float | None = None
    """Publish recorded time on /clock so often in a second of this machine's."""
    wait_s: float = 3.0
    """Wait so long at most until every topic has a reader."""
    ready_node: str = ''
    """Full name of a depth node that is waited for before, until its model is loaded."""
    log: Path | None = None
    """Gets the stamp and the time of publishing, by time.monotonic_ns, of each image."""

    def __post_init__(self) -> None:
        """Refuse speeds that are not positive.

        Raises:
            ConfigError: naming the value.
        """
        for name, value, lowest in (
            ('rate', self.rate, 1e-3), ('clock', self.clock_hz, 0.1), ('wait', self.wait_s, 0.0)
        ):  # fmt: skip
            if value is not None and not lowest <= value <= 1e3:
                raise ConfigError(f'{name} is {value:g}, allowed: {lowest:g} to 1000')


def play(node: Node, request: PlayRequest, tell: Callable[[str], None]) -> int:
    """Publish a bag until it ends, or for ever with `loop`; the number of messages.

    Args:
        node: publishes.
        request: what and how.
        tell: takes lines for people, such as topics that are left out.

    Raises:
        BagError: no bag, no such topic, or nothing in it that can be published.
        OSError: the log cannot be written.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(BagReader(request.bag))
        chosen = [reader.topic(name) for name in request.topics] or list(reader.topics)
        publishers = _publishers(node, reader, chosen, request.names, tell)
        if not publishers:
            raise BagError(f'bag {request.bag} has no messages of a type that is installed')
        log = None
        if request.log is not None:
            # Line by line: a loop has no end but a signal.
            log = stack.enter_context(request.log.open('w', buffering=1))
            log.write('stamp_ns,published_ns\n')
        if request.ready_node:
            wait_until_ready(node, request.ready_node, tell)
        _wait_for_readers(list(publishers.values()), request.wait_s)
        images = {topic.name for topic in chosen if topic.type in _IMAGE_TYPES}
        player = _Player(node, request, publishers, images, log)
        while True:
            player.run(reader)
            if not request.loop:
                break
        time.sleep(_SETTLE_S)  # the last message leaves
        return player.sent


class _Player:
    def __init__(
        self,
        node: Node,
        request: PlayRequest,
        publishers: dict[str, Publisher],
        images: set[str],
        log: TextIO | None,
    ) -> None:
        self._request = request
        self._publishers = publishers
        self._images = images
        self._log = log
        self._clock = None
        if request.clock_hz is not None:
            self._clock = node.create_publisher(Clock, '/clock', 1)
        self.sent = 0

    def run(self, reader: BagReader) -> None:
        """The bag once, from its first message to its last."""
        first_ns: int | None = None
        began = time.monotonic()
        for topic, time_ns, data in reader.serialized(list(self._publishers)):
            if first_ns is None:
                first_ns = time_ns
            self._sleep_until(began, first_ns, time_ns)
            published_ns = time.monotonic_ns()  # before: what publishing takes is latency too
            self._publishers[topic].publish(data)
            self.sent += 1
            if topic in self._images and self._log is not None:
                self._log.write(f'{header_stamp_ns(data)},{published_ns}\n')

    def _sleep_until(self, began: float, first_ns: int, time_ns: int) -> None:
        """Wait until a recorded time is due; time goes on on /clock meanwhile."""
        rate, clock_hz = self._request.rate, self._request.clock_hz
        due = began + (time_ns - first_ns) / _NS_PER_S / rate
        while (left := due - time.monotonic()) > 0:
            if self._clock is None or clock_hz is None:
                time.sleep(left)
                continue
            passed_s = time.monotonic() - began
            self._tick(first_ns + int(passed_s * rate * _NS_PER_S))
            time.sleep(min(left, 1.0 / clock_hz))
        if self._clock is not None:
            self._tick(time_ns)

    def _tick(self, now_ns: int) -> None:
        assert self._clock is not None
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(now_ns, _NS_PER_S)
        self._clock.publish(message)


def _publishers(
    node: Node,
    reader: BagReader,
    topics: Sequence[Topic],
    names: Mapping[str, str],
    tell: Callable[[str], None],
) -> dict[str, Publisher]:
    """A publisher for every topic that can be published, by its recorded name."""
    publishers = {}
    for topic in topics:
        if topic.count == 0:
            continue
        message_type = _message_type(topic.type)
        if message_type is None:
            tell(f'{topic.name} is left out: {topic.type} is not installed')
        elif not _fits(message_type, next(reader.serialized([topic.name]))[2]):
            tell(f'{topic.name} is left out: the installed {topic.type} is another one')
        else:
            publishers[topic.name] = node.create_publisher(
                message_type, names.get(topic.name, topic.name), _qos(topic.name)
            )
    return publishers


def _message_type(name: str) -> type | None:
    """The class of 'sensor_msgs/msg/Image'; None where it is not installed."""
    package, _, kind = name.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), kind, None)
    except ImportError:
        return None


def _fits(message_type: type, data: bytes) -> bool:
    try:
        deserialize_message(data, message_type)
    except Exception:  # whatever the bindings make of bytes of another type
        return False
    return True


def _qos(topic: str) -> QoSProfile:
    """Reliable, which best-effort readers take too; what is latched by custom stays latched."""
    latched = topic.endswith(('tf_static', 'robot_description'))
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=_QUEUE,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _wait_for_readers(publishers: Sequence[Publisher], seconds: float) -> None:
    until = time.monotonic() + seconds
    for _ in _until(until):
        if all(publisher.get_subscription_count() for publisher in publishers):
            break
    time.sleep(min(_SETTLE_S, seconds))


def _until(end: float) -> Iterator[None]:
    while time.monotonic() < end:
        yield
        time.sleep(0.02)
