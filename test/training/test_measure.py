"""Units and errors of motions come out as they were put in."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rendered_frames import CAMERA
from training_runs import TINY

from training.config import BagSource, DataConfig, TrainConfig
from training.config.presets import load_config
from training.data.batch import Batch
from training.finish import make_spec
from training.measure import Motions, Ways, describe_motion, fit_unit, predict_motions
from training.tasks.objective import _true_motions
from training.tasks.self_supervised import SelfSupervisedTask

COUNT = 400


def rotations(angles: np.ndarray) -> np.ndarray:
    """Rotations about y, as transforms [n,4,4]."""
    result = np.tile(np.eye(4), (len(angles), 1, 1))
    result[:, 0, 0] = result[:, 2, 2] = np.cos(angles)
    result[:, 0, 2], result[:, 2, 0] = np.sin(angles), -np.sin(angles)
    return result


def make_motions(unit: float = 1.0, noise: float = 0.0, noise_rad: float = 0.0) -> Motions:
    """Motions of about 0.1 m and 0.05 rad, as a network of this unit would state them."""
    rng = np.random.default_rng(0)
    angles = rng.uniform(0.03, 0.07, COUNT)
    true = rotations(angles)
    true[:, :3, 3] = rng.normal([0, 0, -0.1], 0.01, (COUNT, 3))
    predicted = rotations(angles + rng.normal(0, noise_rad, COUNT))
    predicted[:, :3, 3] = (true[:, :3, 3] + rng.normal(0, noise, (COUNT, 3))) / unit
    composed = predicted @ predicted
    return Motions(predicted, composed, composed.copy(), true, np.full(COUNT, 0.4))


@pytest.mark.parametrize('unit', [0.02, 1.0, 30.0])
def test_unit_is_found(unit: float) -> None:
    assert fit_unit(Ways.of(make_motions(unit, noise=0.005))) == pytest.approx(unit, rel=0.02)


def test_a_network_whose_lengths_mean_nothing_has_no_unit() -> None:
    motions = make_motions()
    rng = np.random.default_rng(1)
    motions.predicted[:, :3, 3] *= np.exp(rng.normal(0, 1.0, (COUNT, 1)))
    assert fit_unit(Ways.of(motions)) is None


def test_standing_and_unknown_pairs_do_not_disturb_the_unit() -> None:
    motions = make_motions(5.0)
    motions.true[:100, :3, 3] *= 1e-4
    motions.predicted[:100, :3, 3] = 1.0
    motions.true[100:150] = np.nan
    assert fit_unit(Ways.of(motions)) == pytest.approx(5.0, rel=1e-6)
    motions.true[:] = np.nan
    assert fit_unit(Ways.of(motions)) is None


def test_motion_is_described_in_metres_with_its_errors() -> None:
    spec = describe_motion(make_motions(4.0, noise=0.004, noise_rad=0.003), 4.0)
    assert spec.interval_s == pytest.approx(0.4)
    assert spec.translation == pytest.approx(0.1, rel=0.05)
    assert spec.rotation_rad == pytest.approx(0.05, rel=0.08)
    assert spec.sigma_translation == pytest.approx(0.004 * np.sqrt(3) / 0.1, rel=0.1)
    assert spec.sigma_rotation_rad == pytest.approx(0.003, rel=0.1)


def test_without_truth_two_motions_in_a_row_are_compared_with_one() -> None:
    motions = make_motions()
    motions.true[:] = np.nan
    perfect = describe_motion(motions, 1.0)
    assert perfect.sigma_translation < 1e-5
    assert perfect.interval_s == pytest.approx(0.4)
    assert perfect.translation == pytest.approx(0.1, rel=0.05)
    assert perfect.rotation_rad == pytest.approx(0.05, rel=0.08)
    motions.direct[:, :3, 3] *= 1.1
    assert describe_motion(motions, 1.0).sigma_translation == pytest.approx(0.1, rel=0.02)


@pytest.mark.parametrize('scatter', [0.0, 1.0])
def test_a_model_up_to_scale_is_described_in_its_own_unit(scatter: float) -> None:
    """Also where the lengths scatter so widely that fit_unit refuses."""
    motions = make_motions(4.0, noise=0.004)
    rng = np.random.default_rng(1)
    motions.predicted[:, :3, 3] *= np.exp(rng.normal(0, scatter, (COUNT, 1)))
    own, metric = describe_motion(motions, None), describe_motion(motions, 4.0)
    assert own.translation == pytest.approx(metric.translation / 4, rel=0.1)
    assert own.sigma_translation == pytest.approx(metric.sigma_translation, rel=0.2)
    assert own.sigma_rotation_rad == metric.sigma_rotation_rad


def test_a_model_that_nothing_moved_is_compared_with_itself() -> None:
    motions = make_motions(4.0)
    motions.true[:, :3, 3] = 0.0
    spec = describe_motion(motions, None)
    assert spec.translation == pytest.approx(0.1 / 4, rel=0.05)
    assert spec.rotation_rad == pytest.approx(0.05, rel=0.08)
    assert spec.sigma_translation < 1e-5


def test_motions_are_measured_as_the_exported_network_states_them() -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (2, 3, 64, 96, 3), np.uint8))
    unknown = torch.full((2, 4, 4), float('nan'))
    camera = torch.tensor([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]).repeat(2, 1)
    batch = Batch(
        images, camera, torch.tensor([[0.0, 0.0, 96.0, 64.0]] * 2), unknown[:, :1, :1],
        unknown, unknown, torch.ones(2, 2), unknown, torch.ones(2, 2), torch.zeros(2),
    )  # fmt: skip
    measured = []
    for precision in ('fp32', 'bf16'):
        settings = [f'run.precision={precision}']
        config = load_config(TINY, settings, [BagSource(Path('bag'))])
        task = SelfSupervisedTask(config, CAMERA.fx, 10)
        with torch.no_grad():  # a new network states next to no motion
            for parameter in task.pose_net.decoder.output.parameters():
                parameter.mul_(10.0)
        motions = predict_motions(task, [batch])
        assert 1e-3 < np.abs(motions.predicted[:, :3, 3]).max() < 1.0
        measured.append(motions.predicted)
    np.testing.assert_allclose(measured[1], measured[0], rtol=1e-6, atol=1e-9)
    # Half precision stands for TF32 here, in which a GPU computes matrix products.
    with torch.autocast('cpu', torch.bfloat16):
        rounded = predict_motions(task, [batch])
    np.testing.assert_allclose(rounded.composed, motions.composed, rtol=1e-6, atol=1e-9)


def test_true_motions_of_two_steps_keep_their_precision() -> None:
    first, second = (torch.from_numpy(rotations(np.array([angle]))) for angle in (0.01, 0.013))
    batch = SimpleNamespace(target_T_previous=first.float(), next_T_target=second.float())
    with torch.autocast('cpu', torch.bfloat16):
        both = _true_motions(batch)[-1]
    torch.testing.assert_close(both.double(), second @ first, rtol=0, atol=1e-7)


def test_a_model_names_the_bags_it_learnt_from_but_not_hundreds() -> None:
    few, many = (tuple(BagSource(Path(f'/bags/{i}')) for i in range(n)) for n in (2, 300))
    data = DataConfig(width=CAMERA.width, height=CAMERA.height)
    configs = [TrainConfig(bags=bags, data=data) for bags in (few, many)]
    said = [make_spec('m', config, CAMERA, 1.0, None, None) for config in configs]
    assert 'bags 0, 1, 20 epochs' in said[0].training_run
    assert 'bags 0, 1, 2, 3, 4, 5, 6, 7 and 292 more, 20 epochs' in said[1].training_run
