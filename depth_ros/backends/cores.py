"""How many CPU cores an inference should use."""

from __future__ import annotations

import os
from pathlib import Path

_TOPOLOGY = Path('/sys/devices/system/cpu')


def physical_cores() -> int:
    """Physical cores that this process may run on.

    The two hyperthreads of a core share its arithmetic units, so a second thread on it slows a
    convolution down rather than up.
    """
    if not hasattr(os, 'sched_getaffinity'):
        return os.cpu_count() or 1
    allowed = os.sched_getaffinity(0)
    return max(1, len({_siblings(cpu) for cpu in allowed}))


def _siblings(cpu: int) -> str:
    path = _TOPOLOGY / f'cpu{cpu}' / 'topology' / 'thread_siblings_list'
    try:
        return path.read_text().strip()
    except OSError:  # virtual machines and some ARM kernels tell nothing: each CPU is a core
        return str(cpu)
