"""Whether a depth node is ready for frames, by its own account in the diagnostics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

_LOADING = 'loading'


def is_ready(told: Mapping[str, str]) -> bool:
    """Whether it is active with its model loaded.

    Args:
        told: the values of its diagnostics.
    """
    loaded = told.get('backend', 'none') not in ('none', _LOADING)
    return loaded and told.get('state') == 'active'


def is_loading(told: Mapping[str, str]) -> bool:
    """Whether it is at work on its model, which takes minutes where an engine is built.

    Args:
        told: the values of its diagnostics.
    """
    return told.get('backend') == _LOADING


def wait_until_ready(node: Node, name: str, tell: Callable[[str], None]) -> None:
    """Wait for a depth node as long as it takes: building an engine takes minutes.

    Args:
        node: listens; nobody else may spin it meanwhile.
        name: full name of the depth node.
        tell: takes a line at first, and whenever the node says something else.
    """
    title = f'/{name.lstrip("/")}: depth'
    told: dict[str, str] = {}
    news, said = 'not heard of yet', ''

    def take(message: DiagnosticArray) -> None:
        nonlocal news
        for status in message.status:
            if status.name == title:
                told.update({entry.key: entry.value for entry in status.values})
                news = status.message

    subscription = node.create_subscription(
        DiagnosticArray, '/diagnostics', take, QoSProfile(depth=10)
    )
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    try:
        while not is_ready(told):
            if news != said:
                said = news
                tell(f'waiting for {name}: {news}')
            executor.spin_once(timeout_sec=1.0)
    finally:
        executor.remove_node(node)
        executor.shutdown()
        node.destroy_subscription(subscription)
