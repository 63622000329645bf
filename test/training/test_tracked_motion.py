"""Motions found by tracked features against those of rendered frames."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from types import SimpleNamespace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from depth_ros import synthetic
from depth_ros.cameras.intrinsics import Intrinsics
from training.data.batch import NEXT, PREVIOUS, TARGET, Batch
from training.losses.motion import geodesic_angle
from training.measure import fit_unit, measure_ways
from training.tasks.objective import Terms
from training.tasks.self_supervised import SelfSupervisedTask
from training.tracking.motions import tracked_motions

CAMERA = Intrinsics(105.0, 105.0, 63.5, 47.5, 128, 96)


@pytest.fixture(scope='module')
def batch() -> Batch:
    """Two samples: three frames of a walk, and the same with nothing to see in the first."""
    room = synthetic.make_scene(seed=5)
    poses = synthetic.make_path(room, frames=3, rate_hz=7.5, seed=5)
    seen = dict(zip((PREVIOUS, TARGET, NEXT), poses))
    pictures, depths = zip(*(synthetic.render(room, CAMERA, seen[i]) for i in range(len(seen))))
    images = np.stack([pictures, pictures])
    images[1, PREVIOUS] = 128
    world_T = np.stack(poses)
    later_T_earlier = torch.from_numpy(np.linalg.inv(world_T[1:]) @ world_T[:-1]).float()
    numbers = torch.tensor([[CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]])
    return Batch(
        images=torch.from_numpy(images),
        intrinsics=numbers.expand(2, 4),
        visible=torch.tensor([[0.0, 0.0, 128.0, 96.0]]).expand(2, 4),
        depth_m=torch.from_numpy(depths[TARGET]).expand(2, -1, -1),
        target_T_previous=later_T_earlier[0].expand(2, 4, 4),
        next_T_target=later_T_earlier[1].expand(2, 4, 4),
        interval_s=torch.full((2, 2), 1 / 7.5),
        stereo_T_target=torch.full((2, 4, 4), float('nan')),
        travelled_m=torch.full((2, 2), float('nan')),
        truth_kind=torch.zeros(2, dtype=torch.long),
    )


def found(batch: Batch, depth_m: torch.Tensor) -> torch.Tensor:
    images01 = batch.images.permute(0, 1, 4, 2, 3).float() / 255
    return tracked_motions(batch, images01, depth_m)


def test_true_depth_gives_the_true_motions_of_both_pairs(batch: Batch) -> None:
    motions = found(batch, batch.depth_m[:, None])
    for pair, truth in enumerate((batch.target_T_previous, batch.next_T_target)):
        assert float(geodesic_angle(motions[pair, 0, :3, :3], truth[0, :3, :3])) < 0.005
        shift = motions[pair, 0, :3, 3] - truth[0, :3, 3]
        assert float(shift.norm() / truth[0, :3, 3].norm()) < 0.12


def test_flat_depth_already_tells_where_it_turns_and_goes(batch: Batch) -> None:
    """What makes training start: a network that knows nothing answers one depth everywhere."""
    motion = found(batch, torch.full_like(batch.depth_m[:, None], 2.0))[0, 0]
    truth = batch.target_T_previous[0]
    turn = float(geodesic_angle(truth[:3, :3], torch.eye(3)))
    assert float(geodesic_angle(motion[:3, :3], truth[:3, :3])) < 0.5 * turn
    cosine = torch.cosine_similarity(motion[:3, 3], truth[:3, 3], dim=0)
    assert float(cosine) > 0.3


def test_the_translation_is_in_the_unit_of_the_depth(batch: Batch) -> None:
    near, far = (found(batch, k * batch.depth_m[:, None])[0, 0] for k in (1.0, 4.0))
    torch.testing.assert_close(4 * near[:3, 3], far[:3, 3], rtol=0.02, atol=0.005)
    torch.testing.assert_close(near[:3, :3], far[:3, :3], rtol=0, atol=1e-3)


def test_what_shows_nothing_is_unknown(batch: Batch) -> None:
    motions = found(batch, batch.depth_m[:, None])
    assert torch.isnan(motions[0, 1]).all()
    assert torch.isfinite(motions[1, 1]).all()


class TrueDepth(SelfSupervisedTask):
    """Predicts the true depth in a unit of its own."""

    def __init__(self, unit_m: float) -> None:
        pl.LightningModule.__init__(self)
        self._unit_m = unit_m
        self.objective = SimpleNamespace(single_precision=nullcontext)  # no network here

    def terms(self, batch: Batch) -> Terms:
        terms = {field.name: torch.tensor(torch.nan) for field in dataclasses.fields(Terms)}
        return Terms(**terms | {'depth_m': batch.depth_m[:, None] / self._unit_m})


@pytest.mark.parametrize('unit_m', [0.2, 5.0])
def test_the_unit_of_the_depth_is_found_by_corners(batch: Batch, unit_m: float) -> None:
    ways = measure_ways(TrueDepth(unit_m), [batch])
    assert ways.predicted.shape == ways.true.shape == (4,)
    assert np.isnan(ways.predicted).tolist() == [False, True, False, False]
    assert fit_unit(ways) == pytest.approx(unit_m, rel=0.05)
