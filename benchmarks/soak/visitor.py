"""Another process that listens to every output of the depth node until it is ended."""

from __future__ import annotations

import contextlib
import sys

import rclpy
from rclpy.executors import ExternalShutdownException

from benchmarks.soak.listener import OUTPUTS, QOS


def main() -> int:
    """Listen; SIGTERM ends it in order, SIGKILL leaves the node to find out."""
    rclpy.init()
    node = rclpy.create_node('visitor')
    for message_type, topic in OUTPUTS:
        node.create_subscription(message_type, topic, lambda message: None, QOS)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    return 0


if __name__ == '__main__':
    sys.exit(main())
