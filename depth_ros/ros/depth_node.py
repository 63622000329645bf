"""The depth node: camera images to metric depth, egomotion and point clouds.

A lifecycle node; what a configured one holds stands in depth_ros.ros.configured_node, the
computing in depth_ros.pipeline. Threads: two a camera, of which one receives while the other
answers for long; one serves parameters, services and timers; one loader prepares the next model.
"""

from __future__ import annotations

import dataclasses
import os
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

from depth_ros.errors import DepthRosError
from depth_ros.parameters import TABLE
from depth_ros.ros.configured_node import ConfiguredNode
from depth_ros.ros.declare import declare_parameters
from depth_ros.ros.diagnostics import Diagnostics
from depth_ros.ros.ending import Ending
from depth_ros.ros.executors import ServicesThread
from depth_ros.ros.health import OF_FRAMES, Level, Problem, Trouble
from depth_ros.ros.transforms import require_tf
from depth_ros.system import heap, transport

_TRIM_SECONDS = 60
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
        self._seconds = 0
        self.input_group = MutuallyExclusiveCallbackGroup()
        self._state = 'unconfigured'
        self._configured: ConfiguredNode | None = None
        self.ending = threading.Event()
        self._owed: set[str] = set()
        self._is_set_back = False
        self._bug = ''
        self._diagnostics = Diagnostics(self, self._settings.cameras, self._described)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._set_back_soon = self.create_guard_condition(self._set_back)
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
        if self._configured is not None:
            self._configured.deactivate()
            heap.give_back()
        super().on_deactivate(state)
        self._diagnostics.clear(*OF_FRAMES)
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
        bug, self._bug = self._bug, ''
        if bug:
            problem = Problem(Level.ERROR, f'internal error: {bug}')
            self._diagnostics.node.report(Trouble.TRANSITION, problem)
        return self._entered('unconfigured')

    def report_bug(self, what: str) -> None:
        """A callback failed."""
        self._diagnostics.node.report_bug(what)

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
        self._diagnostics.clear(Trouble.MODEL, Trouble.TRANSITION)
        self._configured = ConfiguredNode(
            self,
            self._settings,
            self.input_group,
            self._diagnostics,
            self.ending,
            self._set_back_soon.trigger,
        )

    def _activate(self) -> None:
        assert self._configured is not None  # the state machine saw to it
        self._configured.activate()

    def _attempt(self, step: Callable[[], None], state: str) -> TransitionCallbackReturn:
        """Take a step into a state, and tell why where it fails, which rclpy would not."""
        try:
            step()
        except DepthRosError as error:
            self._diagnostics.node.report(Trouble.MODEL, Problem(Level.ERROR, str(error)))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self._bug = traceback.format_exc()  # for on_error, which comes next
            return TransitionCallbackReturn.ERROR
        return self._entered(state)

    def _entered(self, state: str) -> TransitionCallbackReturn:
        self._state = state
        self.get_logger().info(state)
        self._diagnostics.publish()
        return TransitionCallbackReturn.SUCCESS

    def _release(self) -> None:
        self._take_back()
        configured, self._configured = self._configured, None
        if configured is not None:
            configured.close()
            del configured
            heap.give_back()
        self._diagnostics.clear(*Trouble)

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Follow all of them at once, or refuse them with the reason."""
        values = {p.name: p.value for p in parameters if p.name in _TABLE_NAMES}
        # use_sim_time, the QoS of an endpoint that is being made, or what follows the settings.
        if not values or self._is_set_back:
            return SetParametersResult(successful=True)
        try:
            self._take_back()
            changed = self._settings.changed(values)
            if values.get('publish_tf'):
                require_tf()
            if self._configured is not None:
                # Set to what it is, a model is loaded again: its folder may have changed.
                names = ({'model'} & values.keys()) | self._settings.differing(changed)
                self._configured.change(changed, names, bool(names & _LOADING_NAMES))
        except DepthRosError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:  # rclpy would not answer whoever sets them
            self.report_bug(traceback.format_exc())
            return SetParametersResult(successful=False, reason=f'internal error: {error}')
        self._settings = changed
        self._owed -= values.keys()
        return SetParametersResult(successful=True)

    def _take_back(self) -> None:
        """Let the settings be those of the model that runs, where another one failed."""
        if self._configured is not None:
            back = self._configured.take_back()
            self._settings = dataclasses.replace(self._settings, **back)
            self._owed |= back.keys()

    def _set_back(self) -> None:
        """Let ROS tell of the settings as they are."""
        self._take_back()
        owed = [
            Parameter(entry.name, value=entry.ros_value(getattr(self._settings, entry.name)))
            for entry in TABLE
            if entry.name in self._owed
        ]
        self._owed.clear()
        if not owed:
            return
        self._is_set_back = True
        try:
            self.set_parameters(owed)
        finally:
            self._is_set_back = False
        names = ', '.join(parameter.name for parameter in owed)
        self.get_logger().warning(f'set back, since the model could not be loaded: {names}')

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
        configured = self._configured
        if configured is None:
            return False
        self.get_logger().info(f'odometry starts anew: {reason}')
        configured.reset(reason)
        return True

    def _on_second(self) -> None:
        self._seconds += 1
        if self._seconds % _TRIM_SECONDS == 0:
            heap.trim()
        if self._configured is not None:
            self._configured.watch()
        self._diagnostics.node.watch()
        self._diagnostics.publish()

    def _described(self) -> dict[str, str]:
        """What the diagnostics tell besides counts and problems."""
        configured = self._configured
        doing = '' if configured is None else configured.doing_text
        return {
            'state': f'{self._state}, {doing}' if doing else self._state,
            'model': self._settings.model if configured is None else configured.model_text,
            'backend': 'none' if configured is None else configured.backend_text,
            'frames are answered': 'none' if configured is None else configured.batching_text,
            'scale source': self._settings.scale_source.value,
        }


def run(args: Sequence[str] | None, ending: Ending) -> int:
    """Run the node until `ending` is asked for; the exit status of the process.

    Args:
        args: of the command line; None: those of the process.
        ending: which takes the signals already.
    """
    transport.use_profile()
    # rclpy's own handlers would take the context away from under the frame in flight.
    rclpy.init(
        args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO
    )
    try:
        node = DepthNode()
    except (DepthRosError, ParameterException) as error:
        print(f'depth_node: error: {error}', file=sys.stderr)
        rclpy.shutdown()
        return 2
    for problem in transport.find_problems(os.environ):
        node.get_logger().warning(f'{problem.what}; {problem.cure}')
    services = ServicesThread(node, node.input_group, node.report_bug)
    node.start()
    services.start()
    ending.wait()

    def close() -> None:
        node.ending.set()
        services.stop()
        node.close()
        rclpy.shutdown()

    ending.end(close)
    return 0
