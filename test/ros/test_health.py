"""Counters and problems of the node."""

import threading

import numpy as np

from depth_ros.ros.health import Health, Level, Problem, Trouble


def test_counts_from_many_threads_add_up():
    health = Health()
    threads = [
        threading.Thread(target=lambda: [health.count(received=1) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert health.snapshot().counts.received == 2000
    health.start()
    assert health.snapshot().counts.received == 0


def test_latencies_are_percentiles_of_the_answers():
    health = Health()
    assert health.snapshot().latency_p50_ms is None
    for latency in range(1, 101):
        health.answered(float(latency))
    snapshot = health.snapshot()
    assert snapshot.counts.answered == 100
    assert snapshot.latency_p50_ms == np.percentile(np.arange(1, 101), 50)
    assert snapshot.latency_p95_ms == np.percentile(np.arange(1, 101), 95)


def test_worst_problem_is_told():
    health = Health()
    assert health.snapshot().worst is None
    health.report(Trouble.SCALE, Problem(Level.WARN, 'no scale'))
    health.report(Trouble.IMAGE, Problem(Level.ERROR, 'bad image', 'send a good one'))
    assert str(health.snapshot().worst) == 'bad image; send a good one'
    health.clear(Trouble.IMAGE)
    assert str(health.snapshot().worst) == 'no scale'


def test_reports_and_clears_tell_what_is_new():
    health = Health()
    assert health.report(Trouble.IMAGE, Problem(Level.WARN, 'one'))
    assert not health.report(Trouble.IMAGE, Problem(Level.WARN, 'another of the same level'))
    assert health.report(Trouble.IMAGE, Problem(Level.ERROR, 'worse'))
    assert not health.clear(Trouble.CAMERA)
    assert not health.clear(Trouble.IMAGE, older_than_s=60.0)
    assert health.clear(Trouble.IMAGE)
    assert not health.clear(Trouble.IMAGE)
