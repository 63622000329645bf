"""From an image message to published depth: the work on one frame."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque

import numpy as np

from depth_ros.camera import CameraModel, Rectifier, RectifyMode
from depth_ros.errors import BackendError, CameraError, DepthRosError, MessageError
from depth_ros.messages import image_to_rgb, stamp_ns
from depth_ros.parameters import NodeParameters
from depth_ros.pipeline import CameraTrack, DepthPipeline, Estimate, Frame
from depth_ros.ros.camera_infos import CameraInfos
from depth_ros.ros.extrinsics import find_mounting
from depth_ros.ros.health import Health, Level, Problem, Trouble
from depth_ros.ros.inputs import Arrival
from depth_ros.ros.model_loader import LoadedModel
from depth_ros.ros.monitor import Monitor
from depth_ros.ros.outputs import Outputs
from depth_ros.ros.static_transforms import StaticTransforms
from depth_ros.ros.transforms import TransformBroadcaster
from depth_ros.scale import ScaleSource

_SHOWN_S = 2.0
"""A problem of single frames stays in the diagnostics so long after the last such frame."""

_TROUBLE_OF = {
    MessageError: Trouble.IMAGE,
    CameraError: Trouble.CAMERA,
    BackendError: Trouble.INFERENCE,
}
_PER_FRAME = tuple(_TROUBLE_OF.values())


class FrameProcessor:
    """Owns the model and the camera's track; frames and swaps take turns.

    `process` belongs to one worker thread, everything else may be called from any.
    """

    def __init__(
        self,
        parameters: NodeParameters,
        image_topic: str,
        infos: CameraInfos,
        transforms: StaticTransforms,
        outputs: Outputs,
        health: Health,
        monitor: Monitor,
    ) -> None:
        """Begin without a model: `install` brings one."""
        self._parameters = parameters
        self._image_topic = image_topic
        self._infos = infos
        self._transforms = transforms
        self._outputs = outputs
        self._health = health
        self._monitor = monitor
        self._broadcaster: TransformBroadcaster | None = None
        self._turn = threading.Lock()
        self._pipeline: DepthPipeline | None = None
        self._track: CameraTrack | None = None
        self._rectifier: tuple[CameraModel, RectifyMode, Rectifier] | None = None
        self._odometry: deque[tuple[int, np.ndarray]] = deque(maxlen=1000)
        self._reset_reason: str | None = None
        self.scale_text = 'no frame yet'

    def install(self, loaded: LoadedModel, parameters: NodeParameters) -> None:
        """Swap the model in between two frames, and close the one before.

        Raises:
            ConfigError: the scale source does not fit the model; the one before stays.
        """
        track = CameraTrack(loaded.pipeline, parameters.track_settings)
        with self._turn:
            old, self._pipeline, self._track = self._pipeline, loaded.pipeline, track
            self._parameters = parameters
            if old is not None:
                old.close()

    def apply(self, parameters: NodeParameters) -> None:
        """Use other parameters from the next frame on.

        Raises:
            ConfigError: the scale source does not fit the model; nothing is changed.
        """
        with self._turn:
            if self._track is not None:
                self._track.change_settings(parameters.track_settings)
            self._parameters = parameters

    def broadcast(self, broadcaster: TransformBroadcaster | None) -> None:
        """Send odometry as transforms too, or no longer."""
        self._broadcaster = broadcaster

    def reset(self, reason: str) -> None:
        """Start a new odometry with the next frame."""
        self._reset_reason = reason

    def add_odometry(self, stamp: int, odom_T_base: np.ndarray) -> None:
        """Take in the robot's own odometry, a pose [4,4] at a stamp [ns]."""
        self._odometry.append((stamp, odom_T_base))

    def close(self) -> None:
        """Wait for the frame in flight and give the model back."""
        with self._turn:
            if self._pipeline is not None:
                self._pipeline.close()
            self._pipeline = self._track = None

    def process(self, arrival: Arrival) -> None:
        """Answer one image; whatever is wrong with it costs this image and no other."""
        try:
            answered = self._answer(arrival)
        except DepthRosError as error:
            self._health.count(refused=1)
            trouble = _TROUBLE_OF.get(type(error), Trouble.INFERENCE)
            self._monitor.report(trouble, Problem(Level.ERROR, str(error)))
        except Exception:  # a bug must not silence the robot's camera for good
            self._health.count(refused=1)
            what = f'internal error: {traceback.format_exc()}'
            self._monitor.report(Trouble.INFERENCE, Problem(Level.ERROR, what))
        else:
            if answered:
                self._health.answered(1e3 * (time.monotonic() - arrival.arrived_s))
                self._monitor.clear(*_PER_FRAME, older_than_s=_SHOWN_S)

    def _answer(self, arrival: Arrival) -> bool:
        """Publish what is wanted of an image; False where nothing is."""
        parameters, broadcaster = self._parameters, self._broadcaster
        wanted = self._outputs.wanted(broadcaster is not None)
        if wanted is None:
            self._health.count(unwanted=1)
            return False
        message = arrival.message
        frame = self._frame(message, parameters.rectify)
        with self._turn:
            if self._track is None:  # still loading: a newer frame will do
                self._health.count(overtaken=1)
                return False
            self._feed(self._track, frame.frame_id)
            estimate = self._track.process(frame, wanted)
        self._outputs.publish_depth(estimate, message.header, parameters.point_stride)
        self._report_scale(estimate)
        if wanted.egomotion:
            self._publish_odometry(estimate, arrival, parameters, broadcaster)
        return True

    def _frame(self, message, rectify: RectifyMode) -> Frame:
        image = image_to_rgb(message)
        height, width = image.shape[:2]
        stamp, frame_id = stamp_ns(message.header), message.header.frame_id
        camera = self._infos.match(stamp, frame_id, width, height)
        if self._rectifier is None or self._rectifier[:2] != (camera, rectify):
            rectifier = Rectifier(camera, rectify, self._image_topic)
            self._rectifier = (camera, rectify, rectifier)
        rectifier = self._rectifier[2]
        return Frame(stamp, rectifier(image), rectifier.intrinsics, frame_id)

    def _feed(self, track: CameraTrack, frame_id: str) -> None:
        """Hand over what came in between two frames."""
        reason, self._reset_reason = self._reset_reason, None
        if reason is not None:
            track.reset(reason)
        if not self._odometry:
            return
        mounting = find_mounting(self._parameters, frame_id, self._transforms)
        while self._odometry:
            stamp, odom_T_base = self._odometry.popleft()
            if mounting is not None:
                track.add_odometry(stamp, odom_T_base @ mounting.base_T_cam)

    def _publish_odometry(
        self,
        estimate: Estimate,
        arrival: Arrival,
        parameters: NodeParameters,
        broadcaster: TransformBroadcaster | None,
    ) -> None:
        header = arrival.message.header
        mounting = find_mounting(parameters, header.frame_id, self._transforms)
        if self._pipeline is not None and not self._pipeline.has_pose:
            what = f'odom is asked for, but model {self._pipeline.spec.name} has no pose network'
            self._monitor.report(Trouble.ODOMETRY, Problem(Level.WARN, what))
        elif mounting is None:
            what = f'/tf_static does not connect {parameters.base_frame} and {header.frame_id}'
            cure = 'publish it, or set extrinsics to parameter and camera_in_base'
            self._monitor.report(Trouble.ODOMETRY, Problem(Level.WARN, what, cure))
        else:
            self._outputs.publish_odometry(
                estimate, header, parameters.odom_frame, mounting, broadcaster
            )
            self._monitor.clear(Trouble.ODOMETRY)

    def _report_scale(self, estimate: Estimate) -> None:
        scale = estimate.scale
        self.scale_text = scale.text
        if not scale.valid:
            what = f'depth is NaN until the scale is known; {scale.text}'
            self._monitor.report(Trouble.SCALE, Problem(Level.WARN, what))
        elif scale.source is ScaleSource.NONE:
            self._monitor.report(Trouble.SCALE, Problem(Level.WARN, f'scale {scale.text}'))
        else:
            self._monitor.clear(Trouble.SCALE)
