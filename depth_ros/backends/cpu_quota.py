"""How much of the processors a container or a systemd unit may use.

`docker run --cpus=2` and CPUQuota= leave a process all cores, but stop all of its threads for the
rest of each tenth of a second in which they together ran longer than the quota: with more threads
than that, every frame meets such a stop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

_GROUPS_OF_PROCESS, _MOUNTED = 'proc/self/cgroup', 'sys/fs/cgroup'


def cpu_quota(root: Path = Path('/')) -> float:
    """Processors that this process may use at once on average; infinity where nothing limits it.

    Reads control groups of both versions; the least of a group's own quota and of those above it
    counts.

    Args:
        root: where /proc and /sys are.
    """
    return min((_told_by(folder) for folder in _groups(root)), default=math.inf)


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the process's groups that may limit processors, with those above them."""
    try:
        lines = (root / _GROUPS_OF_PROCESS).read_text(errors='replace').splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, group = line.split(':', 2)
        if controllers and 'cpu' not in controllers.split(','):
            continue
        mounted = root / _MOUNTED / ('cpu' if controllers else '')
        # A container may be told its group's place on the host, which its own files do not have.
        own = mounted / group.lstrip('/')
        yield from (own, *(above for above in own.parents if above.is_relative_to(mounted)))


def _told_by(folder: Path) -> float:
    """Of one group; infinity where it sets no quota."""
    try:
        if (folder / 'cpu.max').exists():
            quota, period = (folder / 'cpu.max').read_text().split()
        else:
            quota = (folder / 'cpu.cfs_quota_us').read_text().strip()
            period = (folder / 'cpu.cfs_period_us').read_text().strip()
        processors = int(quota) / int(period)  # 'max' is none, nor is -1
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
    return processors if processors > 0 else math.inf
