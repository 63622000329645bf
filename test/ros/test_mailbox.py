"""The hand-off of the newest frame, and the threads on both sides of it."""

import threading
import time

from ros_harness import wait_for

from depth_ros.ros.mailbox import Mailbox


def test_newest_item_overtakes():
    mailbox = Mailbox()
    mailbox.open()
    assert not mailbox.put(1)
    assert mailbox.put(2)
    assert mailbox.take() == 2
    assert not mailbox.put(3)


def test_closed_mailbox_takes_and_gives_nothing():
    mailbox = Mailbox()
    assert not mailbox.put(1)
    assert mailbox.take() is None
    mailbox.open()
    mailbox.put(2)
    mailbox.close()
    assert mailbox.take() is None
    mailbox.open()
    mailbox.put(3)
    assert mailbox.take() == 3


def test_closing_wakes_whoever_waits():
    mailbox = Mailbox()
    mailbox.open()
    taken = []
    thread = threading.Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    time.sleep(0.05)
    assert taken == []
    mailbox.close()
    thread.join(5.0)
    assert taken == [None]


def test_a_slow_reader_gets_the_last_item_and_every_item_is_accounted_for():
    mailbox = Mailbox()
    mailbox.open()
    taken, overtaken = [], 0

    def read() -> None:
        while (item := mailbox.take()) is not None:
            taken.append(item)
            time.sleep(0.002)

    thread = threading.Thread(target=read)
    thread.start()
    for item in range(1, 301):
        overtaken += mailbox.put(item)
        time.sleep(0.0003)
    wait_for(lambda: taken and taken[-1] == 300, 'the last item')
    mailbox.close()
    thread.join()
    assert taken == sorted(set(taken))
    assert len(taken) + overtaken == 300
