"""The thread that runs a node's services, parameters and timers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from depth_ros.ros.survival import survived


class _Executor(SingleThreadedExecutor):
    """Runs what does not belong to one group."""

    def __init__(self, node: Node, others: CallbackGroup) -> None:
        self._others = others
        super().__init__(context=node.context)
        self.add_node(node)

    def can_execute(self, entity: Any) -> bool:
        """See Executor."""
        return entity.callback_group is not self._others and super().can_execute(entity)


class ServicesThread:
    """Runs the callbacks of a node."""

    def __init__(
        self, node: Node, others: CallbackGroup, failed: Callable[[str], object]
    ) -> None:
        """Prepare; `start` runs it.

        Args:
            node: whose callbacks are run.
            others: the group of subscriptions that Receiving takes.
            failed: told of callbacks that fail.
        """
        self._ending = False
        self._survived = survived(failed)
        self._executor = _Executor(node, others)
        self._thread = threading.Thread(target=self._spin, name='services')

    def start(self) -> None:
        """Run callbacks from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the callback that runs, and run no more."""
        self._ending = True
        self._executor.create_task(lambda: None)  # to be woken is not enough for spin_once
        self._thread.join()
        self._executor.shutdown()

    def _spin(self) -> None:
        try:
            while not self._ending and self._executor.context.ok():
                with self._survived:
                    self._executor.spin_once()
        except ExternalShutdownException:
            pass  # whoever took the context away knows why
