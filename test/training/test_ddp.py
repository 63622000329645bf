"""Processes that train together step as one with all their samples would."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ddp_gradients import SAMPLES, gradients, make_batch
from rendered_frames import CAMERA, rendered_cache, walk

from depth_ros.model_folder.model import Model
from depth_ros.synthetic import SyntheticBag, write_bag
from training.config import AugmentConfig
from training.data import augment
from training.data.dataset import BagTargets, StepSampler
from training.data.pairs import Target
from training.losses.shared_mean import shared_mean
from training.ranks import ALONE, Ranks, launched_ranks

ROOT = Path(__file__).parents[2]


def launch(*command: str, processes: int = 2) -> subprocess.CompletedProcess:
    """torchrun, one thread a process, found in this tree."""
    paths = [str(ROOT), str(ROOT / 'test')]
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(paths)}
    return subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--standalone',
         f'--nproc-per-node={processes}', *command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip


def test_two_processes_have_the_gradients_of_one_with_the_doubled_batch(tmp_path: Path) -> None:
    done = launch(str(ROOT / 'test/ddp_gradients.py'), str(tmp_path / 'two.pt'))
    assert done.returncode == 0, done.stderr[-3000:]
    two = torch.load(tmp_path / 'two.pt')
    loss, expected = gradients(ALONE)
    assert two['gradients'].keys() == expected.keys()
    size = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(
            two['gradients'][name], gradient, rtol=1e-3, atol=1e-5 * size, msg=name
        )
    # The parts' own means would give something else: the truth is spread unevenly.
    halves = [make_batch(slice(0, 2)), make_batch(slice(2, SAMPLES))]
    known = [int(half.depth_m.isfinite().sum()) for half in halves]
    assert known[0] > 2 * known[1]
    assert float(loss) > 0


def test_shared_mean_alone_is_the_mean_of_what_is_known() -> None:
    total = torch.tensor([6.0, 0.0], requires_grad=True)
    mean = shared_mean(total, torch.tensor([3, 0]))
    assert mean.tolist() == [2.0, 0.0]
    mean.sum().backward()
    assert total.grad is not None
    assert total.grad.tolist() == [pytest.approx(1 / 3), 1.0]


@pytest.mark.parametrize('count', [1, 2, 3])
def test_processes_share_the_samples_of_the_large_step(tmp_path: Path, count: int) -> None:
    targets = [Target(i, (i - 1,), (i + 1,)) for i in range(1, 11)]
    bags = [BagTargets(rendered_cache(tmp_path, walk(2)), targets)]
    whole = StepSampler(bags, seed=3, batch_size=2 * count, steps=4)
    parts = [StepSampler(bags, 3, 2, 4, Ranks(rank, count, count)) for rank in range(count)]
    for step, expected in enumerate(whole):
        assert [key for part in parts for key in part.step(step)] == expected


def test_processes_share_the_draws_of_the_large_step() -> None:
    batch, config = make_batch(slice(0, SAMPLES)), AugmentConfig(zoom=1.3, jitter=1.0)
    _, whole01, whole_coloured01 = augment.augmented(config, 0, 7, batch)
    for rank in range(2):
        part = slice(2 * rank, 2 * rank + 2)
        _, images01, coloured01 = augment.augmented(
            config, 0, 7, make_batch(part), Ranks(rank, 2, 2)
        )
        torch.testing.assert_close(images01, whole01[part])
        torch.testing.assert_close(coloured01, whole_coloured01[part])


def test_a_process_of_its_own_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('WORLD_SIZE', '8')  # as batch systems set it, too
    monkeypatch.delenv('TORCHELASTIC_RUN_ID', raising=False)
    assert launched_ranks() == ALONE
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'x')
    monkeypatch.setenv('RANK', '5')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert launched_ranks() == Ranks(5, 8, 4)
    assert launched_ranks().machines == 2
    assert not launched_ranks().is_first


@pytest.mark.slow
def test_two_processes_make_one_model_and_only_two_resume_them(tmp_path: Path) -> None:
    write_bag(tmp_path / 'bag', SyntheticBag(4, 24, 8.0, CAMERA))
    command = [
        'train', '--bag', str(tmp_path / 'bag'), '--preset', 'tiny', '--out',
        str(tmp_path / 'model'), '--workdir', str(tmp_path / 'run'),
        '--set', f'data.cache={tmp_path / "cache"}', '--set', 'run.steps_per_epoch=3',
        '--set', 'run.batch_size=2', '--set', 'export.evaluate=false', '--set', 'loss.depth=1',
    ]  # fmt: skip
    done = launch('-m', 'depth_ros', *command)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('step 3 of 6') == 1
    assert done.stdout.count('exporting the best checkpoint') == 1
    Model.load(tmp_path / 'model')
    with (tmp_path / 'run/losses.csv').open(newline='') as file:
        assert [row[0] for row in csv.reader(file)] == ['step', *'123456']
    with (tmp_path / 'run/validation.csv').open(newline='') as file:
        assert [row[0] for row in csv.reader(file)] == ['step', '3', '6']
    alone = subprocess.run(
        [sys.executable, '-m', 'depth_ros', *command, '--resume'],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert alone.returncode == 2
    assert 'had 2 processes, here are 1; resume it with torchrun' in alone.stderr
