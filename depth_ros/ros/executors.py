"""One node on two threads: one for its inputs, one for everything else.

rclpy's MultiThreadedExecutor hands every callback from a waiting thread to a pool, which doubles
the time until an image is taken. Here each thread waits for its own callback groups.
"""

from __future__ import annotations

import threading
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class _GroupExecutor(SingleThreadedExecutor):
    """Runs what belongs to one callback group of a node."""

    def __init__(self, node: Node, group: CallbackGroup) -> None:
        super().__init__(context=node.context)
        self._node = node
        self._group = group

    def get_nodes(self) -> list[Node]:
        """The node, which belongs to the other executor by name."""
        return [self._node]

    def can_execute(self, entity: Any) -> bool:
        """See Executor."""
        return entity.callback_group is self._group and super().can_execute(entity)


class _OtherExecutor(SingleThreadedExecutor):
    """Runs the other groups; the node tells it of new entities, and it the first one."""

    def __init__(self, node: Node, group: CallbackGroup, first: _GroupExecutor) -> None:
        self._first = first
        self._group = group
        super().__init__(context=node.context)
        self.add_node(node)

    def can_execute(self, entity: Any) -> bool:
        """See Executor."""
        return entity.callback_group is not self._group and super().can_execute(entity)

    def wake(self) -> None:
        """See Executor."""
        self._first.wake()
        super().wake()


class NodeThreads:
    """Both threads of a node."""

    def __init__(self, node: Node, inputs: CallbackGroup) -> None:
        """Prepare; `start` runs them.

        Args:
            node: whose callbacks are run.
            inputs: the group that gets a thread of its own.
        """
        self._ending = False
        first = _GroupExecutor(node, inputs)
        self._executors = (first, _OtherExecutor(node, inputs, first))
        self._threads = [
            threading.Thread(target=self._spin, args=(executor,), name=name)
            for executor, name in zip(self._executors, ('inputs', 'services'))
        ]

    def start(self) -> None:
        """Run callbacks from now on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for the callbacks that run, and run no more."""
        self._ending = True
        for executor in self._executors:
            executor.create_task(lambda: None)  # to be woken is not enough for spin_once
        for thread in self._threads:
            thread.join()
        for executor in self._executors:
            executor.shutdown()

    def _spin(self, executor: SingleThreadedExecutor) -> None:
        try:
            while not self._ending and executor.context.ok():
                executor.spin_once()
        except ExternalShutdownException:
            pass  # whoever took the context away knows why
