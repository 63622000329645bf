"""Tells people how the node is: /diagnostics, and warnings in the log that do not flood it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from depth_ros.ros.health import Health, Level, Problem, Snapshot, Trouble

_LOG_SECONDS = 5.0
"""A trouble that goes on is logged this often."""


class Monitor:
    """Takes in what goes wrong, from any thread, and publishes it once a second and on change."""

    def __init__(
        self, node: LifecycleNode, health: Health, describe: Callable[[], dict[str, str]]
    ) -> None:
        """Create the publisher.

        Args:
            node: publishes and logs.
            health: what is counted.
            describe: what else the diagnostics should tell, by key.
        """
        self._node = node
        self._health = health
        self._describe = describe
        self._lock = threading.Lock()
        self._logged: dict[Trouble, float] = {}
        self._publisher = node.create_publisher(
            DiagnosticArray,
            '/diagnostics',
            QoSProfile(depth=10),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def report(self, trouble: Trouble, problem: Problem) -> None:
        """Something is wrong until `clear`."""
        changed = self._health.report(trouble, problem)
        now = time.monotonic()
        with self._lock:
            due = changed or now - self._logged[trouble] >= _LOG_SECONDS
            if due:
                self._logged[trouble] = now
        if due:
            self._log(problem)
        if changed:
            self.publish()

    def clear(self, *troubles: Trouble, older_than_s: float = 0.0) -> None:
        """It works again; see Health.clear."""
        if self._health.clear(*troubles, older_than_s=older_than_s):
            self.publish()

    def publish(self) -> None:
        """Send the diagnostics now."""
        message = DiagnosticArray(status=[self._status(self._health.snapshot())])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _log(self, problem: Problem) -> None:
        # Two places, since rclpy allows a place in the code one severity.
        if problem.level is Level.ERROR:
            self._node.get_logger().error(str(problem))
        else:
            self._node.get_logger().warning(str(problem))

    def _status(self, snapshot: Snapshot) -> DiagnosticStatus:
        described = self._describe()
        worst = snapshot.worst
        counts = snapshot.counts
        values = {
            **described,
            'frames in': str(counts.received),
            'frames out': str(counts.answered),
            'frames overtaken': str(counts.overtaken),
            'frames refused': str(counts.refused),
            'frames unwanted': str(counts.unwanted),
            'latency p50 [ms]': _milliseconds(snapshot.latency_p50_ms),
            'latency p95 [ms]': _milliseconds(snapshot.latency_p95_ms),
        }
        for trouble, problem in snapshot.problems.items():
            values[f'wrong: {trouble.value}'] = problem.what
            if problem.cure:
                values[f'cure: {trouble.value}'] = problem.cure
        level = Level.OK if worst is None else worst.level
        return DiagnosticStatus(
            level=bytes([level]),
            name=f'{self._node.get_fully_qualified_name()}: depth',
            message=described['state'] if worst is None else str(worst),
            hardware_id=described['model'],
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )


def _milliseconds(value: float | None) -> str:
    return 'none' if value is None else f'{value:.1f}'
