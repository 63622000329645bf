"""How the frames of a robot lie to each other, as /tf_static of its bag tells."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_ros.bags.reader import BagReader
from depth_ros.motion.frame_links import plain_frame, read_link
from depth_ros.motion.se3 import inverse

_STATIC = '/tf_static'

Edges = Mapping[tuple[str, str], np.ndarray]
"""parent_T_child, float64 [4,4], by (parent, child)."""


@dataclass(frozen=True, eq=False)
class TransformGraph:
    """Frames and the transforms between them.

    A graph and no tree: calibration tools publish camera to body beside the robot's body to
    camera, and either way leads on.
    """

    edges: Edges

    def find(self, target: str, source: str) -> np.ndarray | None:
        """target_T_source, float64 [4,4], which maps points of `source` into `target`.

        Through as few transforms as possible; None where the two are not connected.
        """
        neighbours: dict[str, list[tuple[str, np.ndarray]]] = {}
        for (parent, child), parent_T_child in self.edges.items():
            neighbours.setdefault(parent, []).append((child, parent_T_child))
            neighbours.setdefault(child, []).append((parent, inverse(parent_T_child)))
        reached = {plain_frame(target): np.eye(4)}
        queue = deque(reached)
        while queue:
            frame = queue.popleft()
            for other, frame_T_other in neighbours.get(frame, []):
                if other not in reached:
                    reached[other] = reached[frame] @ frame_T_other
                    queue.append(other)
        return reached.get(plain_frame(source))


def read_static_transforms(reader: BagReader) -> TransformGraph:
    """The frames of /tf_static; none where the bag has no such topic.

    Raises:
        BagError: the bag is damaged.
        MessageError: a transform is not finite.
    """
    edges: dict[tuple[str, str], np.ndarray] = {}
    if has_transforms(reader, _STATIC):
        for _, _, message in reader.messages([_STATIC]):
            edges.update(edges_of(message.transforms))
    return TransformGraph(edges)


def has_transforms(reader: BagReader, topic: str) -> bool:
    """Whether a topic of that name carries transforms."""
    return any(t.name == topic and t.type.endswith('TFMessage') for t in reader.topics)


def edges_of(transforms: Iterable[Any]) -> dict[tuple[str, str], np.ndarray]:
    """geometry_msgs/TransformStamped messages as edges.

    Raises:
        MessageError: a transform is not finite.
    """
    links = map(read_link, transforms)
    return {(link.parent, link.child): link.parent_T_child for link in links}
