"""What tests of whole runs share: the command, its sudden end, a full disk, logs and weights."""

from __future__ import annotations

import csv
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from training.weights import read_weights

ROOT = Path(__file__).parents[1]
TINY = ROOT / 'config/training/tiny.yaml'
_PATIENCE_S = 200.0


def train_command(bag: Path, folder: Path, settings: Sequence[str]) -> list[str]:
    """The process that trains tiny networks on a bag, into folder/model by way of folder/run."""
    command = [
        sys.executable, '-m', 'depth_ros', 'train', '--bag', str(bag), '--preset', str(TINY),
        '--out', str(folder / 'model'), '--workdir', str(folder / 'run'),
    ]  # fmt: skip
    for setting in settings:
        command += ['--set', setting]
    return command


def wait_until(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    """Wait for the process to reach something; kill it and fail where it does not."""
    deadline = time.monotonic() + _PATIENCE_S
    while not reached():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f'the process (exit status {process.poll()}) did not get there')
        time.sleep(0.02)


def run_until(command: Sequence[str], workdir: Path, step: int) -> None:
    """Kill the command with SIGKILL once it has logged this step in the folder."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = workdir / 'losses.csv'
    wait_until(process, lambda: log.exists() and len(rows(workdir)) > step)
    assert process.poll() is None
    process.kill()
    process.wait()


def resume(command: Sequence[str]) -> None:
    """Let a run that was killed go on to its end."""
    done = subprocess.run([*command, '--resume'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def rows(workdir: Path, name: str = 'losses.csv') -> list[list[str]]:
    """A run's log: its header and a row a step."""
    with (workdir / name).open(newline='') as file:
        return list(csv.reader(file))


def column(workdir: Path, name: str) -> list[str]:
    """One column of losses.csv without its header."""
    header, *values = rows(workdir)
    return [row[header.index(name)] for row in values]


def assert_same_logs(workdir: Path, expected: Path) -> None:
    """Every loss and every validation of two runs is the same to the letter."""
    for name in ('losses.csv', 'validation.csv'):
        assert rows(workdir, name) == rows(expected, name)


def assert_same_weights(model: Path, expected: Path) -> None:
    """Every weight that the expected model's folder holds is the same to the bit."""
    weights = read_weights(model)
    for name, value in read_weights(expected).items():
        torch.testing.assert_close(weights[name], value, atol=0, rtol=0)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process grows above so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
