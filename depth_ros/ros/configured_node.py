"""All that a configured node holds: model, cameras and worker."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from typing import Any

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import qos_profile_sensor_data
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from depth_ros.errors import ConfigError, MessageError
from depth_ros.messages.poses import pose_to_matrix
from depth_ros.messages.stamps import stamp_ns
from depth_ros.model_folder.model import Model
from depth_ros.parameters import NodeParameters
from depth_ros.ros.camera_port import CameraPort
from depth_ros.ros.diagnostics import Diagnostics
from depth_ros.ros.health import SHOWN_S, Level, Problem, Trouble
from depth_ros.ros.model_swap import ModelSwap, check_scale
from depth_ros.ros.processor import FrameProcessor
from depth_ros.ros.robot_odometry import RobotPose
from depth_ros.ros.static_transforms import StaticTransforms
from depth_ros.ros.transforms import TransformBroadcaster, listen_to_static_transforms
from depth_ros.ros.worker import Worker

_HANGS_S, _HANGS_TIMES = 5.0, 10.0
"""An image that takes so long, and so many times what images usually take, hangs."""


class ConfiguredNode:
    """From the node's inputs to its outputs.

    Calls come from the executor; the model is loaded on a thread of its own and used on the
    worker's.
    """

    def __init__(
        self,
        node: LifecycleNode,
        parameters: NodeParameters,
        input_group: CallbackGroup,
        diagnostics: Diagnostics,
        ending: threading.Event,
        failed_late: Callable[[], object],
    ) -> None:
        """Check the model, create the outputs, and begin to load.

        Args:
            node: whose topics are used.
            parameters: as they are now.
            input_group: of images and camera_info.
            diagnostics: take counts and what goes wrong, of the node and of each camera.
            ending: is set where the node is about to end.
            failed_late: called from another thread where there is something to `take_back`.

        Raises:
            DepthRosError: there is no such model, or it has not the scale that is asked for.
        """
        model = Model.load(parameters.model)
        check_scale(parameters, model)
        self._node = node
        self._parameters = parameters
        self._diagnostics = diagnostics
        self._monitor = diagnostics.node
        self._input_group = input_group
        self._transforms = StaticTransforms()
        self._broadcaster: TransformBroadcaster | None = None
        self._odometry_input: Subscription | None = None
        self._ports: list[CameraPort] = []
        self._processor = FrameProcessor(self._ports)
        self._worker = Worker(self._processor, self._monitor.report_bug)
        with ExitStack() as made:  # given back where a later step fails
            made.callback(self._close_what_follows)
            for name, monitor in diagnostics.cameras.items():
                port = CameraPort(node, name, parameters, self._transforms, monitor)
                made.callback(port.destroy)
                self._ports.append(port)
            static_input = listen_to_static_transforms(node, self._on_static_transforms)
            if static_input is not None:
                made.callback(node.destroy_subscription, static_input)
            self._follow(parameters)
            self._swap = ModelSwap(
                self._processor,
                len(self._ports),
                diagnostics,
                node.get_logger().info,
                ending,
                failed_late,
            )
            made.callback(self._swap.close)
            self._swap.begin(model, parameters)
            self._made = made.pop_all()

    @property
    def backend_text(self) -> str:
        """What the model runs on."""
        loaded = self._swap.loaded
        if loaded is not None:
            return loaded.pipeline.description
        return 'loading' if self._swap.loading else 'none'

    @property
    def doing_text(self) -> str:
        """What goes on beside the frames, such as building an engine; empty where nothing does."""
        return self._swap.doing_text

    @property
    def batching_text(self) -> str:
        """How cameras share the model."""
        loaded = self._swap.loaded
        return 'none' if loaded is None else str(loaded.batching)

    @property
    def model_text(self) -> str:
        """The model in use, or the one being loaded."""
        model = self._swap.model
        return 'none' if model is None else f'{model.spec.name} ({model.path})'

    def activate(self) -> None:
        """Take images from now on."""
        self._worker.start()
        for port in self._ports:
            port.open(self._worker.put, self._worker.work, self._input_group)

    def deactivate(self) -> None:
        """Wait for the frame in flight and take no more."""
        # First, since the thread of one camera answers others as long as their images come.
        self._worker.stop()
        for port in self._ports:
            port.close_inputs()
            port.forget_calibration()

    def close(self) -> None:
        """Give everything back, in any state."""
        self.deactivate()
        self._made.close()

    def reset(self, reason: str) -> None:
        """Start a new odometry with the next frame."""
        for port in self._ports:
            port.reset(reason)

    def watch(self) -> None:
        """Report missing inputs and a runtime that hangs; to be called about once a second."""
        busy_s = self._worker.busy_s
        for port in self._ports:
            port.watch(busy_s)
        if busy_s < _HANGS_S or busy_s < _HANGS_TIMES * self._usual_s():
            self._monitor.clear(Trouble.WORKER)
            return
        what = f'the networks have been with one image for {busy_s:.0f} s'
        cure = 'if this goes on, end the node: by a second signal, seconds later, it waits no more'
        self._monitor.report(Trouble.WORKER, Problem(Level.ERROR, what, cure))

    def _usual_s(self) -> float:
        """What depth took of late, with the slowest camera; 0 where there are none."""
        return max(port.latency_p50_ms for port in self._ports) / 1e3

    def change(
        self, parameters: NodeParameters, names: Collection[str], reload: bool
    ) -> None:
        """Follow other parameters: at once, or with the model that they ask for.

        Args:
            parameters: all of them.
            names: of those that were set.
            reload: whether they ask for a model. Then it is waited for, some seconds at most.

        Raises:
            DepthRosError: no such model, it cannot be loaded, or it has not the scale that is
                asked for; then, and where rclpy cannot open what is wanted, nothing is changed.
        """
        try:
            self._open_wanted(parameters)
            if reload:
                before = {name: getattr(self._parameters, name) for name in names}
                self._swap.replace(Model.load(parameters.model), parameters, before)
            else:
                self._swap.apply(parameters, names)
        except Exception:
            self._close_unwanted(self._parameters)
            raise
        self._parameters = parameters
        self._close_unwanted(parameters)

    def take_back(self) -> dict[str, Any]:
        """Parameters that a model asked for which failed since, as they are to be again."""
        back = self._swap.take_back()
        if back:
            self._parameters = dataclasses.replace(self._parameters, **back)
            self._follow(self._parameters)
        return back

    def _follow(self, parameters: NodeParameters) -> None:
        """Open and close what only some parameters need."""
        self._tell_of_transforms()
        self._open_wanted(parameters)
        self._close_unwanted(parameters)

    def _open_wanted(self, parameters: NodeParameters) -> None:
        if parameters.publish_tf and self._broadcaster is None:
            try:
                self._broadcaster = TransformBroadcaster(self._node)
            except ConfigError as error:
                self._monitor.report(Trouble.TF, Problem(Level.WARN, str(error)))
        if parameters.needs_odometry and self._odometry_input is None:
            self._odometry_input = self._node.create_subscription(
                Odometry,
                'odometry',
                self._on_odometry,
                qos_profile_sensor_data,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )

    def _close_unwanted(self, parameters: NodeParameters) -> None:
        """Close what was opened for other parameters, and let cameras use what is open."""
        if not parameters.publish_tf and self._broadcaster is not None:
            self._broadcaster.destroy()
            self._broadcaster = None
        for index, port in enumerate(self._ports):
            # A frame has one place: cameras that are their own base have one each.
            tells = index == 0 or not parameters.base_frame
            port.broadcast(self._broadcaster if tells else None)
        if not parameters.needs_odometry and self._odometry_input is not None:
            self._node.destroy_subscription(self._odometry_input)
            self._odometry_input = None
            self._monitor.clear(Trouble.ODOMETRY)

    def _close_what_follows(self) -> None:
        """Close what `_follow` opened."""
        if self._broadcaster is not None:
            self._broadcaster.destroy()
        if self._odometry_input is not None:
            self._node.destroy_subscription(self._odometry_input)

    def _on_odometry(self, message: Odometry) -> None:
        try:
            pose = pose_to_matrix(message.pose.pose)
        except MessageError as error:
            self._monitor.report(Trouble.ODOMETRY, Problem(Level.WARN, f'odometry: {error}'))
            return
        self._monitor.clear(Trouble.ODOMETRY, older_than_s=SHOWN_S)
        told = RobotPose(stamp_ns(message.header), message.child_frame_id, pose)
        for port in self._ports:
            port.add_odometry(told)

    def _on_static_transforms(self, transforms: Iterable[TransformStamped]) -> None:
        self._transforms.store(transforms)
        self._tell_of_transforms()

    def _tell_of_transforms(self) -> None:
        refused = self._transforms.refused
        if not refused:
            self._monitor.clear(Trouble.TF)
            return
        what = f'/tf_static: {"; ".join(refused.values())}'
        cure = 'mend what publishes that; the transforms of other frames are used'
        self._monitor.report(Trouble.TF, Problem(Level.WARN, what, cure))
