"""What a process takes of the machine, by /proc (Linux)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """One process at one moment."""

    resident_mib: float
    """RSS: everything below that is in memory, and files."""
    private_mib: float
    """Heap and stacks, the process's alone."""
    shared_mib: float
    """Pages of shared memory that it touched, where images travel: those of a segment are touched
    one by one over minutes, up to its size."""
    proportional_mib: float
    """PSS: as RSS, what is shared counted in parts."""
    descriptors: int
    threads: int


def read_usage(pid: int) -> Usage:
    """Ask the system.

    Raises:
        OSError: there is no such process.
    """
    process = Path('/proc') / str(pid)
    status = _fields(process / 'status')
    memory = _fields(process / 'smaps_rollup')
    return Usage(
        resident_mib=_mib(memory['Rss']),
        private_mib=_mib(status['RssAnon']),
        shared_mib=_mib(status['RssShmem']),
        proportional_mib=_mib(memory['Pss']),
        descriptors=len(list((process / 'fd').iterdir())),
        threads=int(status['Threads']),
    )


def _fields(path: Path) -> dict[str, str]:
    lines = (line.split(':', 1) for line in path.read_text().splitlines() if ':' in line)
    return {key.strip(): value.strip() for key, value in lines}


def _mib(text: str) -> float:
    return round(int(text.split()[0]) / 1024, 2)
