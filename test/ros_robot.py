"""One node that lives through many faults, and what shows that it survived them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import graphs
import numpy as np
import pytest
from ros_camera import SECOND, START, as_array, stamp_of, textured
from ros_harness import (
    FRAME,
    Network,
    NodeProcess,
    Peer,
    compressed_message,
    image_message,
    info_message,
    wait_for,
)
from sensor_msgs.msg import Image

PARAMETERS = {'backend': 'onnxruntime', 'image_timeout': 30.0}
LATER = 100_000 * SECOND
"""Stamps of good frames, later than any that a fault uses."""
RECOVERIES = pytest.StashKey[list[float]]()
"""Of the session: seconds from a good frame after a fault to the right answer."""
WAYS = ('out', 'overtaken', 'refused', 'unwanted')
_IN_FLIGHT = 3
"""Frames at most that came and have not gone: computed, waiting, and overtaking that one."""


class Robot:
    """A node under test, its camera, and all that it answered."""

    def __init__(
        self, peer: Peer, node: NodeProcess, folder: Path, recoveries: list[float],
        compressed: bool = False,
    ) -> None:  # fmt: skip
        self.peer, self.node, self.folder = peer, node, folder
        self.depths: list[Image] = peer.collect(Image, 'depth/image')
        self._recoveries, self._compressed = recoveries, compressed
        self._sent = 0

    def send(self, rgb: np.ndarray, stamp: int, frame: str = FRAME) -> None:
        """A picture with its camera_info."""
        height, width = rgb.shape[:2]
        self.peer.publish('camera_info', info_message(width, height, stamp, frame_id=frame))
        if self._compressed:
            png = cv2.imencode('.png', rgb[..., ::-1])[1].tobytes()
            self.peer.publish('image/compressed', compressed_message(png, stamp, frame))
        else:
            self.peer.publish('image', image_message(rgb, stamp, frame))

    def answered(self, rgb: np.ndarray, stamp: int) -> None:
        """Send a picture until it is answered, and see that the answer is right."""
        before = len(self.depths)

        def answer() -> Image | None:
            self.send(rgb, stamp)
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                for depth in self.depths[before:]:
                    if stamp_of(depth) == stamp:
                        return depth
                time.sleep(0.005)
            return None

        is_right(wait_for(answer, f'an answer to the picture of {stamp}'), rgb)

    def good(self, brighter: int = 0) -> None:
        """A frame as all should be is answered as it should be."""
        self._sent += 1
        sent_s = time.monotonic()
        rgb = textured(self._sent) // 2 + brighter if brighter else textured(self._sent)
        self.answered(rgb, START + LATER + self._sent * SECOND // 10)
        self._recoveries.append(time.monotonic() - sent_s)

    def recovered(self) -> dict[str, str]:
        """A good frame gets a right answer, nothing is wrong any more, every frame is counted."""
        self.good()

        def well() -> dict[str, str] | None:
            self.peer.wait_diagnosis(lambda d: d['level'] == '0', self.good)
            told = self.now()
            # A good frame that was sent again since it was answered late repeats its stamp.
            return None if 'wrong: stamp' in told else told

        told = wait_for(well, lambda: f'good health; the last: {self.peer.diagnosis()}')
        assert not [key for key in told if key.startswith('wrong')], told
        assert 'Traceback' not in self.node.log
        assert int(told['frames in']) == sum(int(told[f'frames {way}']) for way in WAYS), told
        return told

    def every_frame_went_one_way(self) -> None:
        """At any time, as far as diagnostics told."""
        for told in map(values_of, self.peer.diagnostics):
            unaccounted = int(told['frames in']) - sum(int(told[f'frames {way}']) for way in WAYS)
            assert 0 <= unaccounted <= _IN_FLIGHT, told

    def now(self) -> dict[str, str]:
        """Diagnostics made after all that was sent before."""
        known = len(self.peer.diagnostics)
        wait_for(lambda: len(self.peer.diagnostics) >= known + 2, 'diagnostics')
        return self.peer.diagnosis()

    def publishing(self, image: Image) -> Callable[[], None]:
        """Publishes an image and no camera_info."""
        return lambda: self.peer.publish('image', image)

    def told(
        self, key: str, *words: str, meanwhile: Callable[[], object], level: str = '2'
    ) -> dict[str, str]:
        """Wait until the diagnostics tell of a trouble in these words, by default as an error."""
        told = self.peer.wait_diagnosis(
            lambda d: all(word in d.get(key, '') for word in words), meanwhile
        )
        assert told['level'] == level
        return told

    def model(self, name: str) -> str:
        """The path of a model of that name, sound as it is made."""
        graph = graphs.fragile_graph(graphs.spec())
        return str(graphs.write_model(self.folder / name, depth=graph).path)


def is_right(depth: Image, rgb: np.ndarray) -> None:
    """The tiny network answers 0.02 m for each level of the pixel's mean grey."""
    height, width = rgb.shape[:2]
    assert (depth.encoding, depth.width, depth.height) == ('32FC1', width, height)
    seen = cv2.resize(rgb, (graphs.WIDTH, graphs.HEIGHT), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(seen.mean(2).astype(np.float32), (width, height)) * 0.02
    assert np.median(np.abs(as_array(depth, np.float32) / expected - 1)) < 0.02


def values_of(diagnostics: Any) -> dict[str, str]:
    """The key values of the node's diagnostics."""
    return {value.key: value.value for value in diagnostics.status[0].values}


@contextlib.contextmanager
def living(
    tmp_path_factory: pytest.TempPathFactory,
    config: pytest.Config,
    folder_name: str,
    compressed: bool = False,
    **parameters: Any,
) -> Iterator[Robot]:
    """A node that is up; at last it has to end in order, with every frame counted."""
    folder = tmp_path_factory.mktemp(folder_name)
    network = Network(folder)
    peer = Peer(network)
    graph = graphs.fragile_graph(graphs.spec())
    model = graphs.write_model(folder / 'tiny', depth=graph).path
    transport = 'compressed' if compressed else 'raw'
    recoveries = config.stash.setdefault(RECOVERIES, [])
    try:
        with network.depth_node(
            model=model, image_transport=transport, **PARAMETERS, **parameters
        ) as node:
            peer.wait_loaded()
            robot = Robot(peer, node, folder, recoveries, compressed)
            yield robot
            node.signal()
            assert node.status() == 0
            robot.every_frame_went_one_way()
    finally:
        peer.close()
