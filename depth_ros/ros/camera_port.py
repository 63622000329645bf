"""One camera of the node: its topics, calibration, memory and diagnostics."""

from __future__ import annotations

import functools
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import Header

from depth_ros.errors import BackendError, CameraError, DepthRosError, MessageError
from depth_ros.messages.camera_infos import CameraInfos
from depth_ros.parameters import NodeParameters
from depth_ros.pipeline import BegunFrame, CameraTrack, DepthEstimate, Estimate, Frame, SeenFrame
from depth_ros.pipeline.depth_pipeline import NetworkAnswer
from depth_ros.pipeline.focal_estimate import FocalEstimate
from depth_ros.pipeline.scale import ScaleSource, ScaleState
from depth_ros.ros.camera_place import PLACE_CURE, CameraPlace
from depth_ros.ros.health import SHOWN_S, Level, Problem, Trouble
from depth_ros.ros.input_watch import UNREADABLE_CURE, missing_info, watch_inputs
from depth_ros.ros.inputs import Arrival, Inputs, image_topic
from depth_ros.ros.monitor import CameraMonitor
from depth_ros.ros.outputs import Audience, Outputs
from depth_ros.ros.pictures import Picture, Pictures
from depth_ros.ros.robot_odometry import RobotPose
from depth_ros.ros.static_transforms import StaticTransforms
from depth_ros.ros.survival import Caught
from depth_ros.ros.transforms import TransformBroadcaster

_TROUBLE_OF = {
    MessageError: Trouble.IMAGE,
    CameraError: Trouble.CAMERA,
    BackendError: Trouble.INFERENCE,
    MemoryError: Trouble.MEMORY,
}
_OF_PICTURES = (Trouble.IMAGE, Trouble.CAMERA, Trouble.STAMP)
_OF_COMPUTING = (Trouble.INFERENCE, Trouble.MEMORY, Trouble.ODOMETRY, Trouble.TF)
"""The last two are told anew with each frame whose odometry is wanted."""
_TILT_CURE = (
    'let it see level ground in the lower half of its image; where it is tilted, name base_frame '
    'and let /tf_static place it there, or set extrinsics to parameter and camera_in_base'
)


@dataclass
class Job:
    """An image on its way to an answer, and what was asked for when it was taken up."""

    port: CameraPort
    arrival: Arrival
    header: Header
    """Of the image."""
    picture: Picture
    audience: Audience
    parameters: NodeParameters
    broadcaster: TransformBroadcaster | None
    answered: bool = False
    """Whether its depth was sent."""


class CameraPort:
    """The way of one camera's images through the node.

    An image is prepared, begun, seen, followed and published, in this order and one at a time; the
    depth network is asked before an image is seen, the pose network before it is followed, of
    several cameras at once where that pays. Whatever goes wrong costs this image and no other. All
    else may be called from any thread.
    """

    def __init__(
        self,
        node: LifecycleNode,
        name: str,
        parameters: NodeParameters,
        transforms: StaticTransforms,
        monitor: CameraMonitor,
    ) -> None:
        """Create the outputs; a track comes with `install`.

        Args:
            node: whose topics are used.
            name: of the camera, above its topics; empty: they stand by themselves.
            parameters: as they are now.
            transforms: where the camera sits.
            monitor: takes counts and what goes wrong.
        """
        self._node = node
        self.name = name
        self._parameters = parameters
        self._place = CameraPlace(name, transforms, monitor)
        self._monitor = monitor
        self._outputs = Outputs(node, name)
        self._infos = CameraInfos()
        self._inputs: Inputs | None = None
        self._track: CameraTrack | None = None
        self._focal: FocalEstimate | None = None
        self._broadcaster: TransformBroadcaster | None = None
        self._reset_reason: str | None = None
        self._dropped = False
        self._pictures = Pictures(self._infos, self._topic_of, self._missing_info, monitor)
        self._refusing = Caught(self.refuse)
        monitor.scale_text = monitor.focal_text = 'no frame yet'

    @property
    def latency_p50_ms(self) -> float:
        """What answers took of late; 0 where there are none."""
        return self._monitor.counters.tally().latency_p50_ms or 0.0

    def open(
        self,
        take: Callable[[CameraPort, Arrival], bool],
        answer: Callable[[Callable[[], None]], None],
        group: CallbackGroup,
    ) -> None:
        """Subscribe and count from zero.

        Args:
            take: given each image; tells whether it overtook one that waited.
            answer: called then, see Receiving.
            group: of the callbacks.
        """
        counters = self._monitor.counters

        def take_image(arrival: Arrival) -> None:
            counters.count(received=1)
            if take(self, arrival):
                counters.count(overtaken=1)

        counters.start()
        self._pictures.start()
        self.reset('the node was activated')
        self._inputs = Inputs(
            self._node,
            self.name,
            self._parameters.image_transport,
            self._infos,
            take_image,
            answer,
            group,
            self._monitor.report_bug,
            self._report_unreadable_info,
        )

    def close_inputs(self) -> None:
        """Unsubscribe."""
        inputs, self._inputs = self._inputs, None
        if inputs is not None:
            inputs.destroy()
            self._monitor.clear(Trouble.ODOMETRY, Trouble.TF)  # no frame tells of them any more

    def forget_calibration(self) -> None:
        """Take no camera_info of before for images to come; latched ones come again."""
        self._infos.clear()

    def destroy(self) -> None:
        """Give the topics back."""
        self.close_inputs()
        self._outputs.destroy()
        monitor = self._monitor
        monitor.scale_text = monitor.focal_text = monitor.odometry_text = 'none'

    def watch(self, busy_s: float) -> None:
        """Report inputs that are missing; to be called about once a second.

        Args:
            busy_s: how long an image has been computed, in which time none may be received.
        """
        inputs = self._inputs
        self._monitor.watch()
        if inputs is not None:
            inputs.take_latched()
            parameters = self._parameters
            self._pictures.without_info = (
                parameters.allow_estimated_focal
                and inputs.lacks_info
                and inputs.info_publishers == 0
            )
            needs_info = not self._pictures.without_info
            timeout_s = parameters.image_timeout + busy_s
            watch_inputs(inputs, timeout_s, needs_info, self._monitor)

    def install(self, track: CameraTrack | None, parameters: NodeParameters) -> None:
        """Use another model's track and other parameters from the next frame on."""
        if track is not None and self._track is not None:
            track.succeed(self._track, 'another model was loaded')
        if track is None or not track.pipeline.has_pose:
            self._monitor.odometry_text = 'none'
        self._track = track
        self._focal = None if track is None else FocalEstimate(track.pipeline)
        self._follow_parameters(parameters)

    def apply(self, parameters: NodeParameters) -> None:
        """Use other parameters from the next frame on.

        Raises:
            ConfigError: the scale source does not fit the model; nothing is changed.
        """
        if self._track is not None:
            self._track.change_settings(parameters.track_settings(self.name))
        self._follow_parameters(parameters)

    def _follow_parameters(self, parameters: NodeParameters) -> None:
        self._parameters = parameters
        self._monitor.clear(Trouble.MOUNTING)  # what still needs the place tells so again

    def broadcast(self, broadcaster: TransformBroadcaster | None) -> None:
        """Send odometry as transforms too, or no longer."""
        self._broadcaster = broadcaster
        if broadcaster is None:
            self._monitor.clear(Trouble.TF)  # of what would have been sent

    def reset(self, reason: str) -> None:
        """Start a new odometry with the next frame."""
        self._reset_reason = reason

    def add_odometry(self, pose: RobotPose) -> None:
        """Take in the robot's own odometry."""
        self._place.add_pose(pose)

    def refuse(self, error: Exception) -> None:
        """Count an image that is not answered, and tell why."""
        self._monitor.counters.count(refused=1)
        self._report(error)

    def _report(self, error: Exception) -> None:
        if isinstance(error, (DepthRosError, MemoryError)):
            trouble = _TROUBLE_OF.get(type(error), Trouble.INFERENCE)
            what = str(error) or 'there is not enough memory'
        else:  # a bug must not silence the robot's camera for good
            trouble = Trouble.INFERENCE
            what = f'internal error: {"".join(traceback.format_exception(error))}'
        self._monitor.report(trouble, Problem(Level.ERROR, what))

    def overtake(self) -> None:
        """Count an image that is not answered since a newer one will do."""
        self._monitor.counters.count(overtaken=1)

    def drop(self) -> None:
        """Count an image that is not answered since nobody wants it."""
        self._monitor.counters.count(unwanted=1)
        self._dropped = True
        self._monitor.clear(*_OF_PICTURES, *_OF_COMPUTING, older_than_s=SHOWN_S)

    def prepare(self, arrival: Arrival) -> Job | None:
        """Decode and rectify an image; None where nothing of it is wanted, or it is refused."""
        with self._refusing:
            parameters, broadcaster = self._parameters, self._broadcaster
            audience = self._outputs.audience(broadcaster is not None)
            if any(audience):
                message = arrival.read()
                picture = self._pictures.make(message, parameters)
                return Job(
                    self, arrival, message.header, picture, audience, parameters, broadcaster
                )
            self.drop()
        return None

    def begin(self, job: Job) -> BegunFrame | None:
        """Prepare its frame for the networks; None where it is refused."""
        with self._refusing:
            track, picture = self._installed(), job.picture
            self._feed(track, picture.frame_id)
            return track.begin(self._frame(picture), job.audience.wanted)
        return None

    def see(self, job: Job, begun: BegunFrame, answer: NetworkAnswer) -> SeenFrame | None:
        """Depth of a frame that was begun; None where it is refused.

        It is sent at once, unless it waits for the frame's motion.
        """
        with self._failing(job):
            seen = self._installed().see(begun, answer, self._outputs.depth_pixels)
            if seen.is_final and job.audience.of_depth:
                self._publish_depth(job, seen.estimate)
            return seen
        return None

    def follow(self, job: Job, seen: SeenFrame, motion: np.ndarray | None) -> Estimate | None:
        """Estimate a frame that was seen; None where that fails."""
        with self._failing(job):
            estimate = self._installed().follow(seen, motion)
            if estimate.odometry is not None:
                self._monitor.odometry_text = estimate.odometry.text
            return estimate
        return None

    def publish(self, job: Job, estimate: Estimate) -> None:
        """Send what is wanted of it and was not sent yet."""
        with self._failing(job):
            if not job.answered:
                self._publish_depth(job, estimate)
            if job.audience.confidence:
                self._outputs.publish_confidence(estimate, job.header)
            if job.audience.egomotion:
                self._publish_odometry(job, estimate)
            self._outputs.look()
            self._monitor.clear(*_OF_COMPUTING, older_than_s=SHOWN_S)

    def fail(self, job: Job, error: Exception) -> None:
        """Tell why nothing more comes of an image; one whose depth was sent is not refused."""
        if not job.answered:
            self._monitor.counters.count(refused=1)
        self._report(error)

    def fail_motion(self, job: Job, seen: SeenFrame, error: Exception) -> None:
        """Tell why the motion of a frame cannot be found; what there is without it is sent."""
        with self._failing(job):
            estimate = self._installed().without_motion(seen)
            if estimate is not None and job.audience.of_depth:
                self._publish_depth(job, estimate)
        self.fail(job, error)

    def _publish_depth(self, job: Job, estimate: DepthEstimate) -> None:
        """Send it; with this the image is answered."""
        stride = job.parameters.point_stride
        self._outputs.publish_depth(estimate, job.header, stride, job.audience)
        self._monitor.counters.answered(1e3 * (time.monotonic() - job.arrival.arrived_s))
        job.answered = True
        self._report_scale(estimate.scale)
        self._report_focal(job.picture, estimate.fov_deg)
        self._monitor.clear(*_OF_PICTURES, older_than_s=SHOWN_S)

    def _failing(self, job: Job) -> Caught:
        """Whatever goes wrong inside fails this job."""
        return Caught(functools.partial(self.fail, job))

    def _installed(self) -> CameraTrack:
        if self._track is None:
            raise RuntimeError('no model is installed')
        return self._track

    def _frame(self, picture: Picture) -> Frame:
        """A picture with what is known of its camera; a first one may go through the network."""
        intrinsics = picture.intrinsics
        if intrinsics is None:
            if self._focal is None:
                raise RuntimeError('no model is installed')
            intrinsics = self._focal.intrinsics(picture.image)
        return Frame(
            picture.stamp_ns, picture.image, intrinsics, picture.frame_id, picture.seen
        )

    def _topic_of(self, parameters: NodeParameters) -> str:
        return image_topic(self._node, self.name, parameters.image_transport)

    def _missing_info(self) -> str:
        inputs = self._inputs
        return 'no camera_info has arrived' if inputs is None else missing_info(inputs)

    def _report_unreadable_info(self, what: str) -> None:
        self._monitor.report(Trouble.CAMERA, Problem(Level.ERROR, what, UNREADABLE_CURE))

    def _feed(self, track: CameraTrack, frame_id: str) -> None:
        """Hand over what came in between two frames."""
        reason, self._reset_reason = self._reset_reason, None
        if reason is not None:
            track.reset(reason)
        dropped, self._dropped = self._dropped, False
        if dropped:
            track.skip()
        self._place.tell(track, self._parameters, frame_id, self._broadcaster is not None)

    def _publish_odometry(self, job: Job, estimate: Estimate) -> None:
        header, parameters = job.header, job.parameters
        broadcasting = self._broadcaster is not None
        mounting = self._place.mounting(parameters, header.frame_id, broadcasting)
        track = self._track
        if track is not None and not track.pipeline.has_pose:
            what = f'odom is asked for, but model {track.pipeline.spec.name} has no pose network'
            self._monitor.report(Trouble.ODOMETRY, Problem(Level.WARN, what))
        elif mounting is None:
            what = f'/tf_static does not connect {parameters.base_frame} and {header.frame_id}'
            self._monitor.report(Trouble.ODOMETRY, Problem(Level.WARN, what, PLACE_CURE))
        else:
            odom_frame = parameters.odom_frame_of(self.name)
            self._outputs.publish_odometry(
                estimate, header, odom_frame, mounting, job.broadcaster
            )
            self._monitor.clear(Trouble.ODOMETRY)

    def _report_focal(self, picture: Picture, fov_deg: float | None) -> None:
        focal = self._focal
        if picture.intrinsics is not None or focal is None:
            self._monitor.focal_text = picture.calibrated_by
            self._monitor.clear(Trouble.FOCAL)
            return
        focal.observe(fov_deg)
        self._monitor.focal_text = focal.text
        what, cure = f'the focal length is {focal.text}', 'calibrate the camera for true metres'
        self._monitor.report(Trouble.FOCAL, Problem(Level.WARN, what, cure))

    def _report_scale(self, scale: ScaleState) -> None:
        self._monitor.scale_text = scale.text
        if not scale.valid:
            what = f'depth is NaN until the scale is known; {scale.text}'
            cure = _TILT_CURE if scale.source is ScaleSource.CAMERA_HEIGHT else ''
            self._monitor.report(Trouble.SCALE, Problem(Level.WARN, what, cure))
        elif scale.source is ScaleSource.NONE:
            self._monitor.report(Trouble.SCALE, Problem(Level.WARN, f'scale {scale.text}'))
        else:
            self._monitor.clear(Trouble.SCALE)
