"""Point clouds of a bag, in the order of recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_ros.bags.stamped import read_stamped
from depth_ros.messages.cloud_messages import cloud_to_xyz


@dataclass(frozen=True, eq=False)
class BagCloud:
    """One cloud of a bag.

    Attributes:
        stamp_ns: of its header.
        frame_id: of its header.
        xyz_m: floats [height,width,3] in that frame, maybe NaN; see cloud_to_xyz.
    """

    stamp_ns: int
    frame_id: str
    xyz_m: np.ndarray


def read_clouds(
    path: Path | str, topic: str, from_ns: int | None = None, to_ns: int | None = None
) -> Iterator[BagCloud]:
    """Clouds stamped within `from_ns` <= stamp < `to_ns`.

    Raises:
        BagError: the topic is not in the bag, or the bag is damaged.
        MessageError: a cloud is malformed.
    """
    for stamp, (frame_id, xyz_m) in read_stamped(path, topic, _decode, from_ns, to_ns):
        yield BagCloud(stamp, frame_id, xyz_m)


def _decode(message: Any) -> tuple[str, np.ndarray]:
    return message.header.frame_id, cloud_to_xyz(message)
