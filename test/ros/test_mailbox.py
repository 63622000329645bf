"""Where the newest frames wait."""

import threading
import time

from ros_harness import wait_for

from depth_ros.ros.mailbox import Mailbox


def test_newest_item_overtakes():
    mailbox = Mailbox()
    mailbox.open()
    assert not mailbox.put('a', 1)
    assert mailbox.put('a', 2)
    assert mailbox.take() == [('a', 2)]
    assert not mailbox.put('a', 3)


def test_closed_mailbox_takes_and_gives_nothing():
    mailbox = Mailbox()
    assert mailbox.put('a', 1) is None
    assert mailbox.take() == []
    mailbox.open()
    mailbox.put('a', 2)
    assert mailbox.close() == [('a', 2)]
    assert mailbox.take() == []
    mailbox.open()
    mailbox.put('a', 3)
    assert mailbox.take() == [('a', 3)]


def test_waiting_ends_with_an_item_and_with_the_mailbox():
    mailbox = Mailbox()
    mailbox.open()
    waited = []

    def wait():
        while mailbox.wait():
            waited.extend(mailbox.take())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    assert waited == []
    mailbox.put('a', 1)
    wait_for(lambda: waited == [('a', 1)], 'the item')
    mailbox.close()
    thread.join(5.0)
    assert not thread.is_alive()


def test_senders_overtake_themselves_alone():
    mailbox = Mailbox()
    mailbox.open()
    assert [mailbox.put(sender, sender * 2) for sender in 'abc'] == [False] * 3
    assert mailbox.put('b', 'newer')
    assert mailbox.take(2) == [('a', 'aa'), ('b', 'newer')]
    assert mailbox.take(2) == [('c', 'cc')]


def test_others_are_taken_as_far_as_there_are_any():
    mailbox = Mailbox()
    mailbox.open()
    assert mailbox.take(3) == []
    assert not mailbox.holds_any
    for sender in 'abcd':
        mailbox.put(sender, sender * 2)
    assert mailbox.take(2, ['a', 'c']) == [('b', 'bb'), ('d', 'dd')]
    assert mailbox.take(0) == []
    assert mailbox.holds_any
    assert mailbox.take(9) == [('a', 'aa'), ('c', 'cc')]
    assert not mailbox.holds_any


def test_one_that_sends_often_keeps_nobody_waiting():
    mailbox = Mailbox()
    mailbox.open()
    served = []
    for turn in range(60):
        for _ in range(5):
            mailbox.put('often', turn)
        if turn % 6 == 0:
            mailbox.put('rarely', turn)
        served += mailbox.take()
    rarely = [turn for sender, turn in served if sender == 'rarely']
    assert rarely == list(range(0, 60, 6))
    assert len(served) == 60
    often = [turn for sender, turn in served if sender == 'often']
    assert often == sorted(set(often))


def test_a_slow_reader_gets_the_last_item_and_every_item_is_accounted_for():
    mailbox = Mailbox()
    mailbox.open()
    taken, overtaken = [], 0
    ending = threading.Event()

    def read() -> None:
        while not ending.is_set():
            taken.extend(item for _, item in mailbox.take())
            time.sleep(0.002)

    thread = threading.Thread(target=read)
    thread.start()
    for item in range(1, 301):
        overtaken += mailbox.put('a', item)
        time.sleep(0.0003)
    wait_for(lambda: taken and taken[-1] == 300, 'the last item')
    ending.set()
    thread.join()
    assert taken == sorted(set(taken))
    assert len(taken) + overtaken == 300
