"""How far a camera travelled between two moments, from odometry or a measured velocity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_ros.bags.reader import BagReader
from depth_ros.bags.static_transforms import read_static_transforms
from depth_ros.bags.trajectory import read_trajectory
from depth_ros.errors import BagError
from depth_ros.messages.bag_messages import ODOMETRY, POSE
from depth_ros.messages.stamps import NSEC, stamp_ns
from depth_ros.motion.frame_links import plain_frame
from depth_ros.motion.se3 import axis_angle_to_matrix

_LARGEST_GAP = 2.0
"""A measurement is stale after this many of its usual periods."""
_SMALLEST_GAP_NS = 100_000_000
"""Robots hardly change their speed in less: shorter gaps of a fast topic do no harm."""


@dataclass(frozen=True, eq=False)
class Travel:
    """Places of a camera over time; their distances are known, their axes are anybody's.

    Attributes:
        stamps_ns: increasing, int64 [N].
        place_m: float64 [N,3].
        piece: int64 [N]; only places of one piece can be compared.
        whose: frame that was measured: the camera's own, or where /tf_static does not connect
            the two, another one on the robot.
    """

    stamps_ns: np.ndarray
    place_m: np.ndarray
    piece: np.ndarray
    whose: str

    def at(self, stamps_ns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places [n,3] and pieces [n] at other stamps [n], interpolated.

        NaN outside the record and where its two neighbours are too far apart.
        """
        after = np.searchsorted(self.stamps_ns, stamps_ns).clip(max=len(self.stamps_ns) - 1)
        before = np.where(self.stamps_ns[after] == stamps_ns, after, after - 1).clip(min=0)
        start, end = self.stamps_ns[before], self.stamps_ns[after]
        inside = (stamps_ns >= start) & (stamps_ns <= end)
        fresh = end - start <= _largest_gap_ns(self.stamps_ns)
        known = inside & fresh & (self.piece[before] == self.piece[after])
        share = (stamps_ns - start) / np.maximum(end - start, 1)
        place = (1 - share)[:, None] * self.place_m[before] + share[:, None] * self.place_m[after]
        return np.where(known[:, None], place, np.nan), self.piece[before]


def read_travel(path: Path | str, topic: str, camera_frame: str) -> Travel | None:
    """The travel of a camera by a topic of nav_msgs/Odometry, geometry_msgs/TwistStamped,
    TwistWithCovarianceStamped or PoseStamped.

    A twist is integrated, v + omega x r at the camera where /tf_static tells its place r on the
    body. An odometry whose twists are all zero with zero covariance did not measure them (so do
    recordings made from a table of poses): its poses tell the way then. None where nothing was
    measured at all.

    Raises:
        BagError: the topic is not there, or the bag is damaged.
        MessageError: a pose or transform is not finite.
    """
    with BagReader(path) as reader:
        kind = reader.topic(topic).type
        twists = {} if kind == POSE else _twists(reader, topic)
        measured = any(moving for _, moving in twists.values())
        if measured:
            body = _body_frame(reader.first(topic))
            body_T_camera = read_static_transforms(reader).find(body, camera_frame)
    if measured:
        stamps = np.array(sorted(twists), np.int64)
        values = np.stack([twists[int(stamp)][0] for stamp in stamps])
        lever = np.zeros(3) if body_T_camera is None else body_T_camera[:3, 3]
        whose = body if body_T_camera is None else camera_frame
        return integrate_twists(stamps, values, lever, whose)
    if kind not in (ODOMETRY, POSE):
        return None
    poses = read_trajectory(path, topic, camera_frame)
    places = poses.world_T_cam[:, :3, 3]
    if len(places) < 2 or not np.ptp(places, axis=0).any():
        return None
    one_piece = np.zeros(len(places), np.int64)
    return Travel(poses.stamps_ns, places, one_piece, poses.child_frame_id or camera_frame)


def integrate_twists(
    stamps_ns: np.ndarray, twists: np.ndarray, lever_m: np.ndarray, whose: str
) -> Travel:
    """The way of a point on a body from the body's velocities.

    The turning of the body is followed too: the distance wanted is that between two places, as a
    pose network states it, and not the length of the way, which noise and shaking only add to.

    Args:
        stamps_ns: increasing [N].
        twists: linear [m/s] then angular [rad/s] velocity along the body's axes, float64 [N,6];
            NaN: not measured.
        lever_m: the point in the body's frame [3].
        whose: name of what moves.
    """
    count = len(stamps_ns)
    velocity = twists[:, :3] + np.cross(twists[:, 3:], lever_m)
    steps_s = np.diff(stamps_ns) / NSEC
    mean_v = 0.5 * (velocity[1:] + velocity[:-1])
    mean_w = 0.5 * (twists[1:, 3:] + twists[:-1, 3:])
    usable = np.isfinite(mean_v).all(1) & np.isfinite(mean_w).all(1)
    usable &= np.diff(stamps_ns) <= _largest_gap_ns(stamps_ns)
    places, rotation = np.zeros((count, 3)), np.eye(3)
    for i in range(count - 1):
        places[i + 1] = places[i]
        if usable[i]:
            half_turn = axis_angle_to_matrix(0.5 * steps_s[i] * mean_w[i])
            places[i + 1] += steps_s[i] * (rotation @ half_turn @ mean_v[i])
            rotation = rotation @ half_turn @ half_turn
    piece = np.concatenate([[0], np.cumsum(~usable)]).astype(np.int64)
    return Travel(stamps_ns, places, piece, whose)


def _twists(reader: BagReader, topic: str) -> dict[int, tuple[np.ndarray, bool]]:
    """Twist [6] by stamp, and whether it says anything: it, or its covariance, is not zero."""
    found = {}
    for _, _, message in reader.messages([topic]):
        holder = message.twist
        twist = getattr(holder, 'twist', holder)
        covariance = np.asarray(getattr(holder, 'covariance', 0.0))
        values = np.array([
            getattr(vector, axis) for vector in (twist.linear, twist.angular) for axis in 'xyz'
        ])  # fmt: skip
        # A first variance of -1 marks what is not measured.
        if covariance.size and covariance.flat[0] == -1:
            values[:] = np.nan
        says = bool(np.nan_to_num(values).any() or (np.nan_to_num(covariance) > 0).any())
        found[stamp_ns(message.header)] = (values, says)
    if not found:
        raise BagError(f'topic {topic} of bag {reader.path} has no messages')
    return found


def _body_frame(message: Any) -> str:
    return plain_frame(getattr(message, 'child_frame_id', '') or message.header.frame_id)


def _largest_gap_ns(stamps_ns: np.ndarray) -> float:
    if len(stamps_ns) < 2:
        return 0.0
    return max(_LARGEST_GAP * float(np.median(np.diff(stamps_ns))), _SMALLEST_GAP_NS)
