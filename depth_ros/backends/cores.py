"""How many CPU cores an inference should use."""

from __future__ import annotations

import os
from pathlib import Path

from depth_ros.backends.cpu_quota import cpu_quota

_TOPOLOGY = Path('/sys/devices/system/cpu')


def physical_cores() -> int:
    """Physical cores that this process may run on, as far as its quota of them goes.

    The two hyperthreads of a core share its arithmetic units, so a second thread on it slows a
    convolution down rather than up.
    """
    if hasattr(os, 'sched_getaffinity'):
        cores = len({_siblings(cpu) for cpu in os.sched_getaffinity(0)})
    else:
        cores = os.cpu_count() or 1
    return max(1, int(min(cores, cpu_quota())))


def _siblings(cpu: int) -> str:
    path = _TOPOLOGY / f'cpu{cpu}' / 'topology' / 'thread_siblings_list'
    try:
        return path.read_text().strip()
    except OSError:  # virtual machines and some ARM kernels tell nothing: each CPU is a core
        return str(cpu)
