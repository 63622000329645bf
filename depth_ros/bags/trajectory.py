"""True or measured poses of the camera, from odometry in a bag."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.bags.reader import BagReader
from depth_ros.bags.static_transforms import read_static_transforms
from depth_ros.errors import BagError, MessageError
from depth_ros.messages.poses import pose_to_matrix
from depth_ros.messages.stamps import stamp_ns
from depth_ros.motion.frame_links import plain_frame
from depth_ros.motion.se3 import interpolated


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Poses over time.

    Attributes:
        stamps_ns: increasing, int64 [N], at least one.
        world_T_cam: poses of the child frame, float64 [N,4,4].
        frame_id: of the world.
        child_frame_id: whose poses they are; '' where the message does not say.
    """

    stamps_ns: np.ndarray
    world_T_cam: np.ndarray
    frame_id: str
    child_frame_id: str

    def near(self, stamps_ns: np.ndarray, tolerance_ns: int) -> np.ndarray:
        """Indices of the stamps [n] that a pose is at most the tolerance before or after."""
        after = np.searchsorted(self.stamps_ns, stamps_ns)
        before = np.maximum(after - 1, 0)
        after = np.minimum(after, len(self.stamps_ns) - 1)
        away_ns = np.minimum(np.abs(stamps_ns - self.stamps_ns[before]),
                             np.abs(stamps_ns - self.stamps_ns[after]))
        return np.flatnonzero(away_ns <= tolerance_ns)

    def at(self, stamps_ns: np.ndarray) -> np.ndarray:
        """The poses [n,4,4] at stamps [n].

        Between two poses they are interpolated: the nearest one would let a path that is sampled
        more slowly than its frames stand still and leap. Before and after the path its ends are
        held.
        """
        after = np.searchsorted(self.stamps_ns, stamps_ns).clip(max=len(self.stamps_ns) - 1)
        before = np.maximum(after - 1, 0)
        start, end = self.stamps_ns[before], self.stamps_ns[after]
        shares = ((stamps_ns - start) / np.maximum(end - start, 1)).clip(0.0, 1.0)
        ends = self.world_T_cam[after]
        poses = np.where((shares < 1.0)[:, None, None], self.world_T_cam[before], ends)
        for index in np.flatnonzero((shares > 0.0) & (shares < 1.0)):
            poses[index] = interpolated(poses[index], ends[index], float(shares[index]))
        return poses

    def caveat(self, camera_frame: str) -> str:
        """For people: where these are not the poses of the camera whose images name that frame.

        Empty where they are, or where the messages do not say whose they are.
        """
        child = plain_frame(self.child_frame_id)
        if child in ('', plain_frame(camera_frame)):
            return ''
        return (
            f'odometry tells the pose of {child!r}, which /tf_static does not connect with '
            f'{camera_frame!r}: it is taken for the pose of the camera'
        )


def read_trajectory(
    path: Path | str, topic: str, camera_frame: str | None = None
) -> Trajectory:
    """Poses of nav_msgs/Odometry or geometry_msgs/PoseStamped.

    Where `camera_frame` is given, is not the child frame of the odometry, and /tf_static of the
    bag connects the two, the poses are moved to the camera; otherwise they stay those of the
    child frame, which `child_frame_id` tells.

    Raises:
        BagError: the topic is not there or empty, or the bag is damaged.
    """
    poses: dict[int, np.ndarray] = {}
    frame_id = child = ''
    with BagReader(path) as reader:
        for _, _, message in reader.messages([topic]):
            child = getattr(message, 'child_frame_id', '')
            frame_id = message.header.frame_id
            pose = message.pose if hasattr(message.pose, 'position') else message.pose.pose
            try:
                poses[stamp_ns(message.header)] = pose_to_matrix(pose)
            except MessageError as error:
                raise MessageError(f'{topic} of bag {path}: {error}') from None
        if not poses:
            raise BagError(f'topic {topic} of bag {path} has no messages')
        stamps = np.array(sorted(poses), np.int64)
        world_T_child = np.stack([poses[int(stamp)] for stamp in stamps])
        if camera_frame and child and camera_frame != child:
            child_T_camera = read_static_transforms(reader).find(child, camera_frame)
            if child_T_camera is not None:
                return Trajectory(stamps, world_T_child @ child_T_camera, frame_id, camera_frame)
    return Trajectory(stamps, world_T_child, frame_id, child)
