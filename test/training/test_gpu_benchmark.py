"""The GPU benchmark on the CPU: every runtime that is there is timed and compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu, gpu_depth_pro
from depth_ros.model_folder.spec import Precision
from training.networks.depth_pro import DepthProConfig

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


@pytest.mark.slow
def test_depth_pro_is_timed_and_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, '_ROUND_S', 0.01)
    net, models = gpu_depth_pro.make_models(gpu_depth_pro.SMALL, tmp_path)
    figures = gpu_depth_pro.measure(net, models, 'cpu', {Precision.FP32: 1.0})
    told = {figure.runtime: figure for figure in figures}
    assert set(told) == {'torch fp32', 'ONNX Runtime fp32', 'ONNX Runtime fp16'}
    assert [figure.problem for figure in figures] == ['', '', '']
    single, half = told['ONNX Runtime fp32'], told['ONNX Runtime fp16']
    assert 0 < single.difference < half.difference < 0.01
    operations = gpu_depth_pro.count_operations(gpu_depth_pro.SMALL)
    assert single.matrix_share == pytest.approx(operations / single.milliseconds / 1e9)
    assert single.times_paper == pytest.approx(341 / single.milliseconds)
    assert gpu_depth_pro.line_of(half).startswith('ONNX Runtime fp16')


def test_the_published_network_is_counted_without_computing_it():
    assert gpu_depth_pro.count_operations(DepthProConfig()) == pytest.approx(19.25e12, rel=1e-3)


def test_overhead_around_an_engine_is_measured(tmp_path):
    out = tmp_path / 'overhead.json'
    subprocess.run(
        [sys.executable, '-m', 'benchmarks.engine_overhead', '--runs', '50', '--out', str(out)],
        cwd=ROOT, env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=False, timeout=120,
    )  # fmt: skip
    figures = json.loads(out.read_text())
    assert 0 < figures['of it submit, median [ms]'] < figures['run, median [ms]']
    assert figures['peak within a run [bytes]'] < figures['the picture [bytes]'] / 2
