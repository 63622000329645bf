"""A bare node that answers each image with as many bytes as the depth node would.

    python -m benchmarks.node.echo --ros-args -r __ns:=/echo

Parameter `bytes`: of each of the depth node's outputs, in the order of benchmarks.node.cases; -1:
none is published.
"""

from __future__ import annotations

import array
import contextlib
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from benchmarks.node.cases import BEST_EFFORT, RELIABLE, TOPICS
from depth_ros.system import transport


class Echo(Node):
    """See the module."""

    def __init__(self) -> None:
        super().__init__('echo')
        self._outputs = [self.create_publisher(t.type, t.name, RELIABLE) for t in TOPICS]
        self._answers: list[tuple[Any, Any]] = []
        self.declare_parameter('bytes', [-1] * len(TOPICS))
        self.add_on_set_parameters_callback(self._prepare)
        self.create_subscription(Image, 'image', self._answer, BEST_EFFORT)

    def _prepare(self, parameters: list[Parameter]) -> SetParametersResult:
        """Make the messages that will be sent again and again."""
        for parameter in parameters:
            if parameter.name == 'bytes':
                self._answers = [
                    (publisher, _message(topic.type, count))
                    for publisher, topic, count in zip(self._outputs, TOPICS, parameter.value)
                    if count >= 0
                ]
        return SetParametersResult(successful=True)

    def _answer(self, image: Image) -> None:
        for publisher, message in self._answers:
            message.header = image.header
            publisher.publish(message)


def _message(message_type: Any, count: int) -> Any:
    message = message_type()
    if count:
        message.data = array.array('B', bytes(count))
    return message


def main() -> None:
    """Run until SIGINT or SIGTERM."""
    transport.use_profile()
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Echo())
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
