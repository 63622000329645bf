"""Work on the samples of a batch by several threads: OpenCV lets go of the interpreter."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

_MOST_THREADS = 8
_PROCESSES = 'LOCAL_WORLD_SIZE'
"""torchrun's variable: how many processes share this machine."""


def for_each_sample(work: Callable[[int], object], samples: Iterable[int]) -> None:
    """Call `work` with each sample's number, in no certain order; what it raises is raised."""
    for _ in _pool().map(work, samples):
        pass


@functools.cache
def _pool() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get(_PROCESSES, '1'))
    return ThreadPoolExecutor(max(1, min(_MOST_THREADS, cores)), thread_name_prefix='tracking')
