"""The GPU benchmark on the CPU: every runtime that is there is timed and compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from depth_ros.model import Precision

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_runtimes_are_timed_and_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, '_ROUND_S', 0.01)
    models = gpu.make_models('resnet10t', 64, 64, tmp_path)
    case = gpu.Case('resnet10t', 64, 64, 2)
    figures = {f.runtime: f for f in gpu.measure(case, models, 'cpu', {Precision.FP32: 1.0}, 1.0)}
    assert set(figures) == {gpu.EAGER, 'ONNX Runtime fp32', 'ONNX Runtime fp16'}
    eager, single, half = figures.values()
    assert (eager.problem, single.problem, half.problem) == ('', '', '')
    assert eager.difference == 0
    assert 0 < single.difference < half.difference < 0.06
    assert eager.times_eager == 1
    assert single.frames_per_second == pytest.approx(2e3 / single.milliseconds)
    assert gpu.line_of(single).startswith('resnet10t 64x64, 2 frames')
    # A runtime that computes something else is told.
    monkeypatch.setattr(gpu, 'MARGIN', 1e-9)
    found = gpu.measure(case, models, 'cpu', {Precision.FP32: 1.0}, 1.0)
    assert [f.runtime for f in found if 'wrong' in f.problem] == list(figures)[1:]


def test_overhead_around_an_engine_is_measured(tmp_path):
    out = tmp_path / 'overhead.json'
    subprocess.run(
        [sys.executable, '-m', 'benchmarks.engine_overhead', '--runs', '50', '--out', str(out)],
        cwd=ROOT, env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=False, timeout=120,
    )  # fmt: skip
    figures = json.loads(out.read_text())
    assert 0 < figures['of it submit, median [ms]'] < figures['run, median [ms]']
    assert figures['peak within a run [bytes]'] < figures['the picture [bytes]'] / 2
