"""Threads that take messages without an executor."""

import threading
import time

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from ros_harness import RELIABLE, wait_for
from std_msgs.msg import Int32, String

from depth_ros.ros.receiving import Receiving


class Listener:
    """Subscriptions to a number and a text, which the peer's own executor must not spin."""

    def __init__(self, peer, then=None):
        self.numbers, self.texts, self.threads = [], [], set()
        self._node = peer.other_node()
        subscribe = self._node.create_subscription
        self.subscriptions: list[Subscription] = [
            subscribe(Int32, 'number', self._on_number, RELIABLE),
            subscribe(String, 'text', lambda data: self.texts.append(data), RELIABLE, raw=True),
        ]
        self.receiving = Receiving(
            'receiver', self._node.context, self.subscriptions, then=then
        )

    def _on_number(self, message):
        self.threads.add(threading.current_thread().name)
        self.numbers.append(message.data)

    def close(self):
        self.receiving.stop()
        self._node.destroy_node()


def test_messages_come_in_order_on_its_thread(peer):
    listener = Listener(peer)
    try:
        def sent():
            peer.publish('number', Int32(data=-1), RELIABLE)
            return listener.numbers

        wait_for(sent, 'the first number')
        for number in range(50):
            peer.publish('number', Int32(data=number), RELIABLE)
            time.sleep(0.001)
        wait_for(lambda: listener.numbers[-1] == 49, 'the last number')
        assert [n for n in listener.numbers if n >= 0] == list(range(50))
        assert listener.threads == {'receiver'}
    finally:
        listener.close()


def test_who_works_long_leaves_receiving_to_another(peer):
    let, workers = threading.Event(), []

    def work(let_receive):
        workers.append(threading.get_ident())
        if len(workers) == 1:
            let_receive()
            let_receive()  # the second time means nothing
            let.wait()

    listener = Listener(peer, work)
    try:
        def sent():
            peer.publish('number', Int32(data=len(listener.numbers)), RELIABLE)
            return len(listener.numbers) > 10

        wait_for(sent, 'numbers while a thread is at work')
        assert workers.count(workers[0]) == 1
        let.set()
        before = len(workers)
        wait_for(lambda: sent() and len(workers) > before + 10, 'its receiving again')
    finally:
        let.set()
        listener.close()


def keep_busy(peer, workers):
    wait_for(
        lambda: peer.publish('number', Int32(data=1), RELIABLE) or len(workers) > 20, 'work'
    )


def test_who_works_shortly_goes_on_receiving(peer):
    workers = []
    listener = Listener(peer, lambda _: workers.append(threading.get_ident()))
    try:
        keep_busy(peer, workers)
        assert len(set(workers)) == 1
    finally:
        listener.close()


def test_work_that_fails_costs_no_turn(peer):
    workers = []

    def work(let_receive):
        workers.append(threading.get_ident())
        if len(workers) % 2:
            let_receive()
        raise RuntimeError('a bug')

    listener = Listener(peer, work)
    try:
        keep_busy(peer, workers)
        assert len(set(workers)) == 2
    finally:
        listener.close()


def test_stopping_waits_for_work(peer):
    began, done = threading.Event(), []

    def work(_):
        began.set()
        time.sleep(0.3)
        done.append(True)

    listener = Listener(peer, work)
    wait_for(
        lambda: peer.publish('number', Int32(data=1), RELIABLE) or began.is_set(), 'work'
    )
    listener.close()
    assert done
    assert not any(thread.name == 'receiver' for thread in threading.enumerate())


def test_raw_messages_are_bytes(peer):
    listener = Listener(peer)
    try:
        def sent():
            peer.publish('text', String(data='words'), RELIABLE)
            return listener.texts

        assert b'words' in wait_for(sent, 'a text')[0]
    finally:
        listener.close()


def test_bytes_that_are_no_message_cost_themselves_alone(peer):
    listener = Listener(peer)

    def sent():
        peer.publish('number', b'\0\1\0\0', RELIABLE)
        peer.publish('number', Int32(data=7), RELIABLE)
        return listener.numbers.count(7) > 3

    try:
        peer.publish('number', Int32(data=1), RELIABLE)
        wait_for(sent, lambda: f'good numbers; these came: {listener.numbers}')
    finally:
        listener.close()


def test_nothing_is_taken_once_it_is_stopped(peer):
    listener = Listener(peer)
    listener.receiving.stop()
    publisher = peer.node.create_publisher(Int32, 'number', RELIABLE)
    wait_for(lambda: publisher.get_subscription_count(), 'the subscription')
    publisher.publish(Int32(data=1))
    time.sleep(0.2)
    assert not listener.numbers
    listener._node.destroy_node()


def test_a_publisher_whose_qos_does_not_fit_is_told_of(peer, capfd):
    listener = Listener(peer)
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    peer.node.create_publisher(Int32, 'number', best_effort)
    told = []

    def heard():
        told.append(capfd.readouterr().err)
        return 'incompatible QoS' in ''.join(told)

    try:
        wait_for(heard, lambda: f'a warning in {told}')
    finally:
        listener.close()
