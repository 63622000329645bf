"""Counts and latencies of one camera's frames."""

import threading

import numpy as np

from depth_ros.ros.counters import Counters


def test_counts_from_many_threads_add_up():
    counters = Counters()
    threads = [
        threading.Thread(target=lambda: [counters.count(received=1) for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.tally().counts.received == 2000
    counters.start()
    assert counters.tally().counts.received == 0


def test_latencies_are_percentiles_of_the_answers():
    counters = Counters()
    assert counters.tally().latency_p50_ms is None
    for latency in range(1, 101):
        counters.answered(float(latency))
    tally = counters.tally()
    assert tally.counts.answered == 100
    assert tally.latency_p50_ms == np.percentile(np.arange(1, 101), 50)
    assert tally.latency_p95_ms == np.percentile(np.arange(1, 101), 95)
