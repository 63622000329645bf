"""Sends pictures to one node at the rate of a camera and notes when the answers come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.node.cases import TOPICS, Case
from benchmarks.node.peer import Camera, Peer, Receiver
from depth_ros.demo.processes import Child
from depth_ros.errors import DepthRosError
from depth_ros.model_folder.model import Model

_WARM_UP_FRAMES, _WARM_UP_S = 10, 10.0
"""Whichever is over first, where there was any answer: the largest hardly pass a busy machine."""
_FIRST_ANSWER_S = 60.0
_LAST_ANSWER_S = 0.5
_MS_PER_NS = 1e-6


@dataclass(frozen=True)
class Subject:
    """A node that is measured, in a namespace of its own."""

    name: str
    process: Child
    is_echo: bool

    @property
    def namespace(self) -> str:
        """Of its topics."""
        return f'/{self.name}'

    def prepare(self, peer: Peer, case: Case, like: Model) -> None:
        """Let it answer on the pixels of a case.

        Raises:
            DepthRosError: it ended, or does not answer.
        """
        self.process.require_running()
        if self.is_echo:
            counts = [
                case.answer_bytes(topic, like.spec) if topic in case.outputs.topics else -1
                for topic in TOPICS
            ]
            peer.set_parameter(f'{self.namespace}/echo', 'bytes', counts)
        else:
            pixels = case.outputs.pixels.value
            peer.set_parameter(f'{self.namespace}/depth_node', 'output_size', pixels)


@dataclass(frozen=True)
class Window:
    """Some seconds of one subject in one case."""

    sent: int
    latencies_ms: tuple[float, ...]
    """Published to all received, of those that were answered."""
    depth_ms: tuple[float, ...]
    """Published to depth received, of the same."""
    cpu_ms: float
    """Of the subject, per picture sent."""
    answer_bytes: int
    """Of all the messages of one answer."""


def measure(
    peer: Peer, subject: Subject, case: Case, like: Model, frames: int, rate_hz: float
) -> Window:
    """Send pictures until all is known to everybody, then measure.

    Raises:
        DepthRosError: the subject ended or does not answer.
    """
    subject.prepare(peer, case, like)
    receiver = Receiver(peer, subject.namespace, case.outputs.topics)
    camera = Camera(peer, subject.namespace, case.camera)
    try:
        _warm_up(subject, camera, receiver)
        before = cpu_ms(subject.process.pid)
        published = dict(_paced(camera, frames, rate_hz))
        end = time.monotonic() + _LAST_ANSWER_S
        while not published.keys() <= receiver.complete_ns.keys() and time.monotonic() < end:
            time.sleep(0.01)
        used = cpu_ms(subject.process.pid) - before
        answered = {s: at for s, at in published.items() if s in receiver.complete_ns}
        return Window(
            sent=frames,
            latencies_ms=_passed_ms(answered, receiver.complete_ns),
            depth_ms=_passed_ms(answered, receiver.depth_ns),
            cpu_ms=used / frames,
            answer_bytes=sum(receiver.data_bytes.values()),
        )
    finally:
        receiver.close()
        camera.close()


def cpu_ms(pid: int) -> float:
    """Time on a CPU of a process's living threads (Linux)."""
    stats = Path(f'/proc/{pid}/task').glob('*/schedstat')
    return _MS_PER_NS * sum(int(stat.read_text().split()[0]) for stat in stats)


def _passed_ms(since: dict[int, int], until: dict[int, int]) -> tuple[float, ...]:
    return tuple(round(_MS_PER_NS * (until[stamp] - at), 4) for stamp, at in since.items())


def _warm_up(subject: Subject, camera: Camera, receiver: Receiver) -> None:
    """Send one picture after the other, each when the one before was answered, or lost."""
    began = time.monotonic()
    answered = receiver.complete_ns
    while len(answered) < _WARM_UP_FRAMES:
        subject.process.require_running()
        passed = time.monotonic() - began
        if answered and passed > _WARM_UP_S:
            return
        if passed > _FIRST_ANSWER_S:
            raise DepthRosError(
                f'{subject.name} answers nothing in {_FIRST_ANSWER_S:g} s, but these bytes: '
                f'{receiver.data_bytes}\n{subject.process.log_tail()}'
            )
        stamp, _ = camera.send()
        lost = time.monotonic() + _LAST_ANSWER_S
        while stamp not in answered and time.monotonic() < lost:
            time.sleep(0.01)


def _paced(camera: Camera, frames: int, rate_hz: float) -> Iterator[tuple[int, int]]:
    """Stamp and time of publishing of each picture."""
    began = time.monotonic()
    for frame in range(frames):
        time.sleep(max(0.0, began + frame / rate_hz - time.monotonic()))
        yield camera.send()
