"""The services of a running depth node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from depth_ros.errors import DepthRosError

WAIT_S = 180.0
"""Generous: a busy machine is not what is tested."""
_NODE = '/depth_node'


class RemoteNode:
    """Calls wait for their answer, which comes on an executor's thread."""

    def __init__(self, node: Node) -> None:
        """Make the clients."""
        self._parameters = node.create_client(SetParameters, f'{_NODE}/set_parameters')
        self._state = node.create_client(ChangeState, f'{_NODE}/change_state')
        self._reset = node.create_client(Trigger, f'{_NODE}/reset')

    def set(self, values: Mapping[str, Any]) -> tuple[bool, ...]:
        """Set parameters; whether each was taken.

        Raises:
            DepthRosError: no answer.
        """
        request = SetParameters.Request(
            parameters=[Parameter(name, value=v).to_parameter_msg() for name, v in values.items()]
        )
        return tuple(result.successful for result in self._call(self._parameters, request).results)

    def transition(self, label: str) -> bool:
        """Take a lifecycle transition; whether the node did.

        Raises:
            DepthRosError: no answer.
        """
        request = ChangeState.Request()
        request.transition.label = label
        return self._call(self._state, request).success

    def reset(self) -> bool:
        """Ask for a new odometry.

        Raises:
            DepthRosError: no answer.
        """
        return self._call(self._reset, Trigger.Request()).success

    def _call(self, client: Any, request: Any) -> Any:
        if not client.wait_for_service(WAIT_S):
            raise DepthRosError(f'no service {client.srv_name} in {WAIT_S:g} s')
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(WAIT_S):
            raise DepthRosError(f'{client.srv_name} did not answer in {WAIT_S:g} s')
        return future.result()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
    """Wait for something.

    Raises:
        DepthRosError: it did not come in time.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise DepthRosError(f'waited {seconds:g} s for {what}')
        time.sleep(0.005)
