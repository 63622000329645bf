"""Point clouds of a bag, in the order of recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.bags.reader import BagReader
from depth_ros.cloud_messages import cloud_to_xyz
from depth_ros.errors import MessageError
from depth_ros.messages import stamp_ns


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
    with BagReader(path) as reader:
        for _, _, message in reader.messages([topic]):
            stamp = stamp_ns(message.header)
            if (from_ns is None or stamp >= from_ns) and (to_ns is None or stamp < to_ns):
                try:
                    xyz_m = cloud_to_xyz(message)
                except MessageError as error:
                    raise MessageError(f'{topic} of bag {path}: {error}') from None
                yield BagCloud(stamp, message.header.frame_id, xyz_m)
