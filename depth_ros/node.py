"""The depth node: camera images to metric depth, egomotion and point clouds.

A lifecycle node; what a configured one holds stands in depth_ros.ros.engine, the computing in
depth_ros.pipeline. Threads: one only stores images and camera_info, one serves parameters,
services and timers, one worker owns the model, one loader prepares the next. Run it as
`ros2 run depth_ros depth_node` or `python -m depth_ros.node`.
"""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from depth_ros import transport
from depth_ros.errors import DepthRosError
from depth_ros.parameters import TABLE
from depth_ros.ros.declare import declare_parameters
from depth_ros.ros.engine import DepthEngine
from depth_ros.ros.executors import NodeThreads
from depth_ros.ros.health import Health, Level, Problem, Trouble
from depth_ros.ros.monitor import Monitor
from depth_ros.ros.transforms import require_tf

_SIGNAL_S = 0.2
_TABLE_NAMES = frozenset(entry.name for entry in TABLE)
_LOADING_NAMES = frozenset(entry.name for entry in TABLE if entry.meaning.loads)


class DepthNode(LifecycleNode):
    """See the module."""

    def __init__(self) -> None:
        """Declare parameters, services and diagnostics; the rest comes with configuring.

        Raises:
            ConfigError: a parameter is not allowed.
        """
        super().__init__('depth_node')
        self._settings = declare_parameters(self)
        self.input_group = MutuallyExclusiveCallbackGroup()
        self._state = 'unconfigured'
        self._engine: DepthEngine | None = None
        self._health = Health()
        self._monitor = Monitor(self, self._health, self._described)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.create_service(Trigger, '~/reset', self._on_reset)
        # By the steady clock: with use_sim_time and a paused bag someone must still complain.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._on_second, clock=steady)
        self._jump_handle = self.get_clock().create_jump_callback(
            JumpThreshold(
                min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
            ),
            post_callback=self._on_time_went_back,
        )

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the model, create the outputs, and begin to load; loading goes on behind."""
        return self._attempt(self._configure, 'inactive')

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take images from now on."""
        super().on_activate(state)
        return self._attempt(self._activate, 'active')

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Wait for the frame in flight and take no more."""
        if self._engine is not None:
            self._engine.deactivate()
        super().on_deactivate(state)
        self._monitor.clear(Trouble.INPUT, Trouble.TRANSPORT, Trouble.CAMERA, Trouble.IMAGE)
        return self._entered('inactive')

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give model and outputs back."""
        self._release()
        return self._entered('unconfigured')

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Wait for the frame in flight and give everything back, whatever the state."""
        self._release()
        return self._entered('finalized')

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Fall back to unconfigured after a bug in a transition."""
        self._release()
        return self._entered('unconfigured')

    def start(self) -> None:
        """Configure and activate, if the parameter autostart says so, as far as it works."""
        if not self._settings.autostart:
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def close(self) -> None:
        """End, in whatever state."""
        if self._state != 'finalized':
            self.trigger_shutdown()
        self._jump_handle.unregister()
        self.destroy_node()

    def _configure(self) -> None:
        self._monitor.clear(Trouble.MODEL)
        self._engine = DepthEngine(
            self, self._settings, self.input_group, self._health, self._monitor
        )

    def _activate(self) -> None:
        assert self._engine is not None  # the state machine saw to it
        self._engine.activate()

    def _attempt(self, step: Callable[[], None], state: str) -> TransitionCallbackReturn:
        """Take a step into a state, and tell why where it fails, which rclpy would not."""
        try:
            step()
        except DepthRosError as error:
            self._monitor.report(Trouble.MODEL, Problem(Level.ERROR, str(error)))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().fatal(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return self._entered(state)

    def _entered(self, state: str) -> TransitionCallbackReturn:
        self._state = state
        self.get_logger().info(state)
        self._monitor.publish()
        return TransitionCallbackReturn.SUCCESS

    def _release(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
        self._monitor.clear(*Trouble)

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Follow all of them at once, or refuse them with the reason."""
        values = {p.name: p.value for p in parameters if p.name in _TABLE_NAMES}
        if not values:  # use_sim_time, or the QoS of an endpoint that is being made
            return SetParametersResult(successful=True)
        try:
            changed = self._settings.changed(values)
            if values.get('publish_tf'):
                require_tf()
            if self._engine is not None:
                self._engine.change(changed, bool(_LOADING_NAMES & values.keys()))
        except DepthRosError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings = changed
        return SetParametersResult(successful=True)

    def _on_reset(
        self, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        response.success = self._reset('asked for')
        response.message = (
            'odometry starts anew with the next frame' if response.success
            else f'the node is {self._state}'
        )  # fmt: skip
        return response

    def _on_time_went_back(self, jump: TimeJump) -> None:
        self._reset('ROS time went back')

    def _reset(self, reason: str) -> bool:
        engine = self._engine
        if engine is None:
            return False
        self.get_logger().info(f'odometry starts anew: {reason}')
        engine.reset(reason)
        return True

    def _on_second(self) -> None:
        if self._engine is not None:
            self._engine.watch()
        self._monitor.publish()

    def _described(self) -> dict[str, str]:
        """What the diagnostics tell besides counts and problems."""
        engine = self._engine
        doing = '' if engine is None else engine.doing_text
        return {
            'state': f'{self._state}, {doing}' if doing else self._state,
            'model': self._settings.model if engine is None else engine.model_text,
            'backend': 'none' if engine is None else engine.backend_text,
            'scale source': self._settings.scale_source.value,
            'scale': 'none' if engine is None else engine.scale_text,
        }


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM, which end it in order; the exit status."""
    transport.use_profile()
    # rclpy's own handlers would take the context away from under the frame in flight.
    rclpy.init(
        args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO
    )
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, frame: stopped.set())
    try:
        node = DepthNode()
    except (DepthRosError, ParameterException) as error:
        print(f'depth_node: error: {error}', file=sys.stderr)
        rclpy.shutdown()
        return 2
    threads = NodeThreads(node, node.input_group)
    node.start()
    threads.start()
    # The main thread alone runs Python's signal handlers, so it does nothing else. A signal that
    # the system gives to another thread does not wake it.
    while not stopped.wait(_SIGNAL_S):
        pass
    threads.stop()
    node.close()
    rclpy.shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
