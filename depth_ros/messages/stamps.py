"""Times of ROS messages."""

from __future__ import annotations

from typing import Any

NSEC = 1_000_000_000


def stamp_ns(header: Any) -> int:
    """Time of a std_msgs/Header [ns since the epoch], ROS 2 or ROS 1."""
    stamp = header.stamp
    if hasattr(stamp, 'sec'):
        return int(stamp.sec) * NSEC + int(stamp.nanosec)
    return int(stamp.secs) * NSEC + int(stamp.nsecs)
