"""Work on the samples of a batch by several threads."""

import threading

import pytest

from training.tracking.each_sample import for_each_sample


def test_every_sample_is_worked_on_once():
    done, lock = [], threading.Lock()

    def work(sample):
        with lock:
            done.append(sample)

    for_each_sample(work, range(50))
    assert sorted(done) == list(range(50))


def test_an_error_is_raised():
    def work(sample):
        if sample == 3:
            raise ValueError(f'sample {sample}')

    with pytest.raises(ValueError, match='sample 3'):
        for_each_sample(work, range(8))
