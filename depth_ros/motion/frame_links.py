"""One transform between two frames, as /tf and /tf_static tell it, live or from a bag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_ros.errors import MessageError
from depth_ros.messages.poses import transform_to_matrix


@dataclass(frozen=True, eq=False)
class FrameLink:
    """A frame in the frame above it; names as `plain_frame` gives them."""

    parent: str
    child: str
    parent_T_child: np.ndarray
    """float64 [4,4]."""


def read_link(stamped: Any) -> FrameLink:
    """A geometry_msgs/TransformStamped, by duck type.

    Raises:
        MessageError: the quaternion is zero or a value is not finite; names the frames.
    """
    parent, child = plain_frame(stamped.header.frame_id), plain_frame(stamped.child_frame_id)
    try:
        return FrameLink(parent, child, transform_to_matrix(stamped.transform))
    except MessageError as error:
        raise MessageError(f'frame {child!r} in {parent!r}: {error}') from error


def plain_frame(frame_id: str) -> str:
    """A frame's name without the slash that ROS 1 may put before it."""
    return frame_id.lstrip('/')
