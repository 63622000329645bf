"""Publishes on /diagnostics what the monitors of a node know."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from depth_ros.ros.health import Level, Problem, Trouble
from depth_ros.ros.monitor import CameraMonitor, Monitor, NodeMonitor

_NODE_TITLE = 'depth'


class Diagnostics:
    """The monitors of a node, published once a second and on change.

    One status for the node and one for each camera that has a name; a camera without one is told
    of in the node's.
    """

    def __init__(
        self, node: LifecycleNode, cameras: Sequence[str], describe: Callable[[], dict[str, str]]
    ) -> None:
        """Create the publisher.

        Args:
            node: publishes and logs.
            cameras: their names.
            describe: what else is to be told of the node, by key; 'state' and 'model' among it.
        """
        self._node = node
        logger = node.get_logger()
        self.node = NodeMonitor(_NODE_TITLE, logger, self.publish, describe)
        self.cameras = {
            name: CameraMonitor(name or _NODE_TITLE, logger, self.publish) for name in cameras
        }
        self._publisher = node.create_publisher(
            DiagnosticArray,
            '/diagnostics',
            QoSProfile(depth=10),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def clear(self, *troubles: Trouble) -> None:
        """It works again, with the node and every camera."""
        for monitor in self._monitors():
            monitor.clear(*troubles)

    def publish(self) -> None:
        """Send the diagnostics now."""
        by_title: dict[str, list[Monitor]] = {}
        for monitor in self._monitors():
            by_title.setdefault(monitor.title, []).append(monitor)
        told = self.node.described()
        message = DiagnosticArray(
            status=[self._status(title, group, told) for title, group in by_title.items()]
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _monitors(self) -> list[Monitor]:
        return [self.node, *self.cameras.values()]

    def _status(
        self, title: str, monitors: Sequence[Monitor], node: dict[str, str]
    ) -> DiagnosticStatus:
        values: dict[str, str] = {}
        problems: list[Problem] = []
        for monitor in monitors:
            values.update(node if monitor is self.node else monitor.described())
        for monitor in monitors:
            for trouble, problem in monitor.problems.items():
                problems.append(problem)
                for kind, text in (('wrong', problem.what), ('cure', problem.cure)):
                    if text:
                        key = f'{kind}: {trouble.value}'
                        values[key] = f'{values[key]}; {text}' if key in values else text
        worst = max(problems, key=lambda problem: problem.level, default=None)
        return DiagnosticStatus(
            level=bytes([Level.OK if worst is None else worst.level]),
            name=f'{self._node.get_fully_qualified_name()}: {title}',
            message=node['state'] if worst is None else str(worst),
            hardware_id=node['model'],
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
