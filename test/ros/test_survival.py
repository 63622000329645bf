"""Callbacks that fail do not end the threads that call them."""

from __future__ import annotations

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from ros_harness import RELIABLE, wait_for
from std_msgs.msg import Int32

from depth_ros.ros.executors import ServicesThread
from depth_ros.ros.receiving import Receiving
from depth_ros.ros.survival import survived


class Failing:
    """Fails at its first calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, message=None):
        self.calls += 1
        if self.calls < 3:
            raise MemoryError('no memory for a message')


def test_a_timer_goes_on(peer):
    node, failing, told = peer.other_node(), Failing(), []
    node.create_timer(0.01, failing)
    thread = ServicesThread(node, MutuallyExclusiveCallbackGroup(), told.append)
    thread.start()
    try:
        wait_for(lambda: failing.calls > 5, 'calls after the failed ones')
    finally:
        thread.stop()
        node.destroy_node()
    assert len(told) == 2
    assert 'MemoryError: no memory for a message' in told[0]


def test_messages_go_on_to_be_taken(peer):
    node, failing, told = peer.other_node(), Failing(), []
    numbers = node.create_subscription(Int32, 'number', failing, RELIABLE)
    receiving = Receiving('receiver', node.context, [numbers], told.append)
    try:
        wait_for(lambda: peer.publish('number', Int32(data=1), RELIABLE) or failing.calls > 5,
                 'messages after the failed ones')  # fmt: skip
    finally:
        receiving.stop()
        node.destroy_node()
    assert len(told) == 2
    assert 'MemoryError: no memory for a message' in told[0]


def test_a_report_that_fails_too_goes_to_standard_error(capsys):
    def tell(what):
        raise RuntimeError('no report either')

    with survived(tell):
        raise ValueError('a bug')
    error = capsys.readouterr().err
    assert 'a bug' in error
    assert 'no report either' in error
