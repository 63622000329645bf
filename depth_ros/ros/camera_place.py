"""Where one camera sits on the robot, for scale and odometry, and what of that is missing."""

from __future__ import annotations

from collections import deque

from depth_ros.errors import MessageError
from depth_ros.motion.frame_links import plain_frame
from depth_ros.motion.mounting import Mounting
from depth_ros.parameters import NodeParameters
from depth_ros.pipeline import CameraTrack
from depth_ros.pipeline.ground_plane import down_of
from depth_ros.pipeline.scale import ScaleSource
from depth_ros.ros.extrinsics import find_mounting
from depth_ros.ros.health import Level, Problem, Trouble
from depth_ros.ros.monitor import CameraMonitor
from depth_ros.ros.robot_odometry import RobotPose, find_camera
from depth_ros.ros.static_transforms import StaticTransforms

PLACE_CURE = 'publish it, or set base_frame, camera_in_base and extrinsics to parameter'
_MOST_POSES = 1000


class CameraPlace:
    """Knows the camera's place from /tf_static or parameters, and tells a track what follows.

    Poses of the robot may be added from any thread; everything else is for the one that has the
    images answered.
    """

    def __init__(self, name: str, transforms: StaticTransforms, monitor: CameraMonitor) -> None:
        """Begin without poses.

        Args:
            name: of the camera.
            transforms: of /tf_static.
            monitor: takes what is missing.
        """
        self._name = name
        self._transforms = transforms
        self._monitor = monitor
        self._poses: deque[RobotPose] = deque(maxlen=_MOST_POSES)

    def add_pose(self, pose: RobotPose) -> None:
        """Take in the robot's own odometry."""
        self._poses.append(pose)

    def tell(
        self, track: CameraTrack, parameters: NodeParameters, frame_id: str, broadcasting: bool
    ) -> None:
        """Tell a track what its sources of scale and turns need to know before the next frame.

        Args:
            track: of this camera.
            parameters, frame_id, broadcasting: see `mounting`.
        """
        if parameters.scale_source is ScaleSource.CAMERA_HEIGHT and parameters.base_frame:
            self._tell_down(track, parameters, frame_id, broadcasting)
        if not parameters.needs_odometry:
            self._poses.clear()  # what came before the sources changed
        while self._poses:
            self._tell_odometry(track, parameters, self._poses.popleft(), frame_id)

    def mounting(
        self, parameters: NodeParameters, frame_id: str, broadcasting: bool
    ) -> Mounting | None:
        """Where the camera sits, as far as that is known; depth is answered without it.

        Args:
            parameters: as they are now.
            frame_id: of its images.
            broadcasting: whether odometry is to be sent on /tf, where not every place is allowed.
        """
        try:
            mounting = find_mounting(parameters, self._name, frame_id, self._transforms)
        except MessageError as error:
            self._monitor.report(Trouble.TF, Problem(Level.WARN, str(error)))
            return None
        above = None if mounting is None else mounting.frame_above
        if mounting is None or (above is None and plain_frame(frame_id)) or not broadcasting:
            self._monitor.clear(Trouble.TF)
            return mounting
        if above is None:
            what = 'images have no frame_id, and so neither they nor clouds have a place in /tf'
            cure = 'let the driver of the camera name their frame'
            self._monitor.report(Trouble.TF, Problem(Level.WARN, what, cure))
            return mounting
        odom_frame = parameters.odom_frame_of(self._name)
        what = (
            f'/tf_static puts the camera below {above}, so {odom_frame} -> {mounting.base_frame} '
            'is not sent on /tf, where a frame has one parent'
        )
        cure = (
            f"set base_frame to the root of the robot's tree ({above}, unless /tf goes on above "
            'it), or publish_tf to false'
        )
        self._monitor.report(Trouble.TF, Problem(Level.WARN, what, cure))
        return mounting

    def _tell_down(
        self, track: CameraTrack, parameters: NodeParameters, frame_id: str, broadcasting: bool
    ) -> None:
        """Tell how the camera is tilted: base_frame says what is upright."""
        mounting = self.mounting(parameters, frame_id, broadcasting)
        if mounting is None:
            what = f'/tf_static does not connect {parameters.base_frame!r} and {frame_id!r}'
            problem = Problem(Level.WARN, f'{what}: the camera is taken for level', PLACE_CURE)
            self._monitor.report(Trouble.MOUNTING, problem)
            return
        self._monitor.clear(Trouble.MOUNTING)
        track.tell_down(down_of(mounting.base_T_cam))

    def _tell_odometry(
        self, track: CameraTrack, parameters: NodeParameters, pose: RobotPose, frame_id: str
    ) -> None:
        """Tell where the robot's odometry puts the camera.

        A place that is not known is not taken for the robot's origin: on a turn, that would cost
        tens of percents of the scale.
        """
        try:
            child_T_cam = find_camera(
                parameters, self._name, frame_id, pose.child_frame, self._transforms
            )
        except MessageError as error:
            self._monitor.report(Trouble.MOUNTING, Problem(Level.WARN, str(error), PLACE_CURE))
            return
        self._monitor.clear(Trouble.MOUNTING)
        track.add_odometry(pose.stamp_ns, pose.odom_T_child @ child_T_cam)
