"""Where the camera sits on the robot, from the transforms of /tf_static; no ROS in here."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from depth_ros.errors import MessageError
from depth_ros.motion.frame_links import plain_frame, read_link
from depth_ros.motion.se3 import inverse


class StaticTransforms:
    """A tree of frames that do not move against each other."""

    def __init__(self) -> None:
        """Start without any frame."""
        self._lock = threading.Lock()
        self._parents: dict[str, tuple[str, np.ndarray]] = {}
        self._refused: dict[str, str] = {}

    def store(self, transforms: Iterable[Any]) -> None:
        """Add geometry_msgs/TransformStamped messages; the newest sound one of a child counts.

        A damaged one costs no other, since what /tf_static has said it does not say again.
        """
        for transform in transforms:
            child = plain_frame(transform.child_frame_id)
            try:
                link = read_link(transform)
            except MessageError as error:
                with self._lock:
                    self._refused[child] = str(error)
                continue
            with self._lock:
                self._parents[child] = (link.parent, link.parent_T_child)
                self._refused.pop(child, None)

    @property
    def refused(self) -> dict[str, str]:
        """What is wrong with the newest transform of a frame, by that frame's name."""
        with self._lock:
            return dict(self._refused)

    def find(self, target: str, source: str) -> np.ndarray | None:
        """target_T_source [4,4], which maps points of `source` into `target`.

        None where the two are not connected.

        Raises:
            MessageError: the transforms go round in a circle.
        """
        with self._lock:
            to_target, to_source = self._ancestors(target), self._ancestors(source)
        for frame, ancestor_T_source in to_source.items():
            if frame in to_target:
                return inverse(to_target[frame]) @ ancestor_T_source
        return None

    def root_above(self, frame: str) -> str | None:
        """The topmost frame above one; None where nothing is above it.

        Of frames that go round in a circle, the one before the circle closes.
        """
        root, passed = None, {plain_frame(frame)}
        with self._lock:
            above = self._parents.get(plain_frame(frame))
            while above is not None and above[0] not in passed:
                root = above[0]
                passed.add(root)
                above = self._parents.get(root)
        return root

    def _ancestors(self, frame: str) -> dict[str, np.ndarray]:
        """ancestor_T_frame of the frame itself and all above it, nearest first."""
        frame = plain_frame(frame)
        ancestor_T_frame = np.eye(4)
        found = {frame: ancestor_T_frame}
        while frame in self._parents:
            frame, parent_T_frame = self._parents[frame]
            if frame in found:
                raise MessageError(f'/tf_static has a loop through frame {frame!r}')
            ancestor_T_frame = parent_T_frame @ ancestor_T_frame
            found[frame] = ancestor_T_frame
        return found
