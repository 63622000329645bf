"""The most multiply-adds a second that this CPU was seen to do (fma_peak.c; needs gcc)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from depth_ros.errors import DepthRosError


def build_peak(folder: Path) -> Path:
    """Compile fma_peak.c for this CPU.

    Raises:
        DepthRosError: there is no gcc, or it fails.
    """
    program = folder / 'fma_peak'
    source = Path(__file__).with_name('fma_peak.c')
    command = ['gcc', '-O3', '-march=native', '-ffp-contract=fast', '-pthread', str(source),
               '-o', str(program)]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DepthRosError(f'gcc does not start ({error.strerror}); install gcc') from error
    if done.returncode != 0:
        raise DepthRosError(f'gcc cannot compile {source}: {done.stderr.splitlines()[0]}')
    return program


def measure_peak(program: Path, threads: int, milliseconds: int) -> dict[str, float]:
    """Multiply-adds a second by arithmetic: fp32, and bf16 and int8 where the CPU has them."""
    done = subprocess.run(
        [str(program), str(threads), str(milliseconds)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)
