"""What has images answered."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from ros_harness import wait_for

from depth_ros.ros.worker import Worker


class Port:
    """Of a camera; counts what is dropped."""

    def __init__(self):
        self.dropped = 0

    def drop(self):
        self.dropped += 1


class Processor:
    """Takes as long with an image as it is let, and fails where the image is an error."""

    batch = 1

    def __init__(self):
        self.let = threading.Event()
        self.done = []

    def process(self, images, more):
        ((_, arrival),) = images
        if isinstance(arrival, Exception):
            raise arrival
        self.let.wait()
        self.done.append(arrival)


class Sender:
    """A thread that puts an image in and answers what waits."""

    def __init__(self, worker, image, port=None):
        self.port = port or Port()
        self.overtook = worker.put(self.port, image)
        self.let_receive = Mock()
        self._thread = threading.Thread(target=worker.work, args=(self.let_receive,))
        self._thread.start()

    def wait(self):
        self._thread.join(5.0)
        assert not self._thread.is_alive()


@pytest.fixture
def at_work():
    processor, told = Processor(), []
    worker = Worker(processor, told.append)
    worker.start()
    yield worker, processor, told
    processor.let.set()
    worker.stop()


def test_how_long_it_is_with_an_image(at_work):
    worker, processor, _ = at_work
    assert worker.busy_s == 0.0
    sender = Sender(worker, 1)
    wait_for(lambda: worker.busy_s > 0.05, 'its being busy')
    processor.let.set()
    sender.wait()
    assert worker.busy_s == 0.0
    assert processor.done == [1]


def test_who_is_at_it_answers_what_comes_meanwhile(at_work):
    worker, processor, _ = at_work
    first = Sender(worker, 1)
    wait_for(lambda: worker.busy_s > 0.0, 'its being busy')
    port = Port()
    for image in (2, 3):
        sender = Sender(worker, image, port)
        sender.wait()
        assert sender.overtook == (image == 3)
    assert processor.done == []
    processor.let.set()
    first.wait()
    assert processor.done == [1, 3]


def test_no_image_is_left_however_threads_meet(at_work):
    """One is put in at the very moment that another thread finds nothing more."""
    worker, processor, _ = at_work
    processor.let.set()
    for image in range(2000):
        senders = [Sender(worker, (image, camera)) for camera in range(2)]
        for sender in senders:
            sender.wait()
        assert sorted(processor.done[-2:]) == [(image, 0), (image, 1)]


def test_another_thread_receives_where_images_take_long(at_work, monkeypatch):
    worker, processor, _ = at_work
    processor.let.set()
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(
        'depth_ros.ros.worker.time', SimpleNamespace(monotonic=lambda: clock.now_s)
    )

    def woke_another(takes_ms):
        def process(images, more):
            clock.now_s += 1e-3 * takes_ms

        monkeypatch.setattr(processor, 'process', process)
        sender = Sender(worker, 'image')
        sender.wait()
        return sender.let_receive.called

    assert not woke_another(4.0)
    assert not woke_another(4.0)
    assert not woke_another(30.0)  # nobody knew
    assert woke_another(0.1)  # a refused one, say
    assert woke_another(30.0)
    assert [woke_another(0.1) for _ in range(5)] == [True, True, True, False, False]


def test_another_thread_receives_where_there_is_more_to_answer(at_work, monkeypatch):
    monkeypatch.setattr('depth_ros.ros.worker._SHORT_S', math.inf)
    worker, processor, _ = at_work
    first = Sender(worker, 1)
    wait_for(lambda: worker.busy_s > 0.0, 'its being busy')
    Sender(worker, 2).wait()
    assert not first.let_receive.called
    processor.let.set()
    first.wait()
    assert processor.done == [1, 2]
    assert first.let_receive.called


def test_an_error_is_told_and_the_next_image_is_taken(at_work):
    worker, processor, told = at_work
    processor.let.set()
    Sender(worker, RuntimeError('a bug')).wait()
    assert 'RuntimeError: a bug' in told[0]
    Sender(worker, 2).wait()
    assert processor.done == [2]
    assert worker.busy_s == 0.0


def test_what_waits_when_it_stops_is_dropped(at_work):
    worker, processor, _ = at_work
    busy = Sender(worker, 1)
    wait_for(lambda: worker.busy_s > 0.0, 'its being busy')
    waiting = Sender(worker, 2)
    threading.Timer(0.1, processor.let.set).start()
    worker.stop()
    assert processor.done == [1]
    assert (busy.port.dropped, waiting.port.dropped) == (0, 1)


def test_what_comes_when_it_has_stopped_is_dropped(at_work):
    worker, processor, _ = at_work
    processor.let.set()
    worker.stop()
    late = Sender(worker, 1)
    late.wait()
    assert not late.overtook
    assert late.port.dropped == 1
    assert processor.done == []
