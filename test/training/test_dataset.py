"""Samples depend on position alone; augmentation keeps image, camera and truth together."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from rendered_frames import HEIGHT, WIDTH, rendered_cache, walk
from view_synthesis import warp

from training.config import AugmentConfig
from training.data import augment
from training.data.batch import NEXT, PREVIOUS, TARGET, Batch
from training.data.cache import FrameCache
from training.data.dataset import BagTargets, StepSampler, TripleDataset, relative_motion
from training.data.pairs import Target

COUNT = 12
TARGETS = [Target(i, (i - 2, i - 1), (i + 1, i + 2)) for i in range(2, COUNT - 2)]
NO_COLOURS = AugmentConfig(jitter=0.0)


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> FrameCache:
    return rendered_cache(tmp_path_factory.mktemp('cache'), walk(COUNT, rate_hz=8.0), 8.0)


@pytest.fixture
def batch(cache: FrameCache) -> Batch:
    dataset = TripleDataset([BagTargets(cache, TARGETS)], seed=0)
    return dataset.__getitems__([(i, i) for i in range(4)])


def photometric_error(batch: Batch, images01: torch.Tensor) -> float:
    """Mean difference of the previous frame, warped by depth and motion, to the target."""
    previous_T_target = torch.linalg.inv(batch.target_T_previous)
    warped, visible = warp(
        images01[:, PREVIOUS], torch.nan_to_num(batch.depth_m, nan=1.0)[:, None],
        batch.intrinsics, batch.intrinsics, previous_T_target,
    )  # fmt: skip
    known = visible & torch.isfinite(batch.depth_m)[:, None]
    difference = (warped - images01[:, TARGET]).abs().mean(1, keepdim=True)
    return float((difference * known).sum() / known.sum())


def test_batch_holds_frames_with_their_truth(cache: FrameCache) -> None:
    dataset = TripleDataset([BagTargets(cache, [Target(5, (3,), (9,))])], seed=0)
    batch = dataset.__getitems__([(0, 0), (1, 0)])
    for index, frame in ((PREVIOUS, 3), (TARGET, 5), (NEXT, 9)):
        np.testing.assert_array_equal(batch.images[0, index].numpy(), cache.images[frame])
    np.testing.assert_array_equal(batch.depth_m[1].numpy(), cache.depth_m[5].astype(np.float32))
    assert batch.interval_s[0].tolist() == pytest.approx([2 / 8, 4 / 8])
    world_T_target = cache.world_T_cam[3] @ np.linalg.inv(batch.target_T_previous[0].numpy())
    np.testing.assert_allclose(world_T_target, cache.world_T_cam[5], atol=1e-5)


def test_targets_alone_are_those_of_whole_samples(cache: FrameCache) -> None:
    bags = [BagTargets(replace(cache, partner_images=cache.images), TARGETS)]
    keys = [(i, i) for i in range(4)]
    whole = TripleDataset(bags, seed=0).__getitems__(keys)
    alone = TripleDataset(bags, seed=0, alone=True).__getitems__(keys)
    assert (whole.images.shape[1], alone.images.shape[1]) == (4, 1)
    assert torch.equal(alone.images, whole.images[:, TARGET : TARGET + 1])
    for name in ('intrinsics', 'depth_m', 'truth_kind', 'next_T_target'):
        torch.testing.assert_close(getattr(alone, name), getattr(whole, name), equal_nan=True)
    config = AugmentConfig(zoom=1.4, jitter=1.0, blur=1.0)
    seen, coloured01 = augment.augmented_target(config, 0, 3, alone)
    _, _, all_coloured01 = augment.augmented(config, 0, 3, whole)
    torch.testing.assert_close(coloured01, all_coloured01[:, TARGET])
    assert seen.images.shape[1] == 1


def test_truth_explains_the_images_and_wrong_truth_does_not(batch: Batch) -> None:
    images01 = augment.to_unit_images(batch.images)
    right = photometric_error(batch, images01)
    backwards = torch.linalg.inv(batch.target_T_previous)
    assert right < 0.03
    assert photometric_error(batch._replace(target_T_previous=backwards), images01) > 1.5 * right


def test_missing_truth_is_nan(cache: FrameCache) -> None:
    assert np.isnan(relative_motion(None, 0, 1)).all()
    poses = cache.world_T_cam.copy()
    poses[1] = np.nan
    assert np.isnan(relative_motion(poses, 0, 1)).all()
    assert np.isfinite(relative_motion(poses, 0, 2)).all()


@pytest.mark.parametrize('zoom', [1.0, 1.5])
def test_geometry_keeps_truth_and_images_consistent(batch: Batch, zoom: float) -> None:
    images01 = augment.to_unit_images(batch.images)
    config = AugmentConfig(flip=0.5, jitter=0.0, zoom=zoom)
    for step in range(4):
        draws = augment.draw(config, 7, step, 4)
        changed, changed01 = augment.change_geometry(batch, images01, draws)
        assert changed01.shape == images01.shape
        assert photometric_error(changed, changed01) < 0.035


def test_flip_by_hand(batch: Batch) -> None:
    images01 = augment.to_unit_images(batch.images)
    draws = augment.draw(AugmentConfig(flip=1.0, jitter=0.0), 0, 0, 4)
    flipped, flipped01 = augment.change_geometry(batch, images01, draws)
    torch.testing.assert_close(flipped01, images01.flip(-1))
    torch.testing.assert_close(flipped.intrinsics[:, 2], WIDTH - 1 - batch.intrinsics[:, 2])
    torch.testing.assert_close(
        flipped.target_T_previous[:, 0, 3], -batch.target_T_previous[:, 0, 3]
    )
    again, again01 = augment.change_geometry(flipped, flipped01, draws)
    torch.testing.assert_close(again01, images01)
    for name in ('intrinsics', 'visible', 'target_T_previous', 'next_T_target'):
        torch.testing.assert_close(getattr(again, name), getattr(batch, name))


def test_zoom_keeps_rays(batch: Batch) -> None:
    """The ray of the new pixel u is the ray of the old pixel that its colour came from."""
    images01 = augment.to_unit_images(batch.images)
    draws = augment.draw(AugmentConfig(flip=0.0, zoom=1.4), 0, 3, 4)
    assert draws.window is not None
    zoomed, _ = augment.change_geometry(batch, images01, draws)
    x, _, size = draws.window.unbind(1)
    u = torch.tensor(30.0)
    old_u = (u + 0.5) * size + x * WIDTH - 0.5
    new_ray = (u - zoomed.intrinsics[:, 2]) / zoomed.intrinsics[:, 0]
    old_ray = (old_u - batch.intrinsics[:, 2]) / batch.intrinsics[:, 0]
    torch.testing.assert_close(new_ray, old_ray)
    full = torch.tensor([0.0, 0.0, WIDTH, HEIGHT]).expand(4, 4)
    torch.testing.assert_close(zoomed.visible, full)


def test_colours_are_shared_by_the_frames_of_a_sample(batch: Batch) -> None:
    same = batch.images[:, :1].expand(-1, 3, -1, -1, -1)
    images01 = augment.to_unit_images(same)
    draws = augment.draw(AugmentConfig(jitter=1.0), 0, 0, 4)
    changed = augment.change_colours(images01, draws)
    torch.testing.assert_close(changed[:, 0], changed[:, 1])
    torch.testing.assert_close(changed[:, 0], changed[:, 2])
    assert (changed - images01).abs().mean() > 0.01
    assert not torch.allclose(changed[0] - images01[0], changed[1] - images01[1], atol=1e-3)


def test_no_jitter_changes_no_colour(batch: Batch) -> None:
    images01 = augment.to_unit_images(batch.images)
    draws = augment.draw(NO_COLOURS, 0, 0, 4)
    unchanged = augment.change_colours(images01, draws)
    torch.testing.assert_close(unchanged, images01, atol=1e-5, rtol=0)


def test_hue_keeps_luma_and_saturation_zero_is_grey() -> None:
    images01 = torch.rand(1, 3, 3, 4, 5, generator=torch.manual_seed(0)) * 0.2 + 0.4
    one = torch.ones(1)
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    draws = augment.Draws(
        one.bool(), None, brightness=one, contrast=one, saturation=one,
        hue=torch.tensor([math.pi / 7]),
    )  # fmt: skip
    turned = augment.change_colours(images01, draws)
    torch.testing.assert_close((turned * luma).sum(2), (images01 * luma).sum(2), atol=1e-3, rtol=0)
    assert (turned - images01).abs().max() > 0.01
    grey = augment.change_colours(images01, draws._replace(saturation=0 * one, hue=0 * one))
    torch.testing.assert_close(grey[:, :, 0], grey[:, :, 1], atol=1e-3, rtol=0)


def test_draws_are_a_function_of_seed_and_step() -> None:
    config = AugmentConfig(zoom=1.3)
    for name, value in augment.draw(config, 1, 5, 8)._asdict().items():
        torch.testing.assert_close(value, getattr(augment.draw(config, 1, 5, 8), name))
    other = augment.draw(config, 1, 6, 8)
    assert not torch.equal(other.brightness, augment.draw(config, 1, 5, 8).brightness)


def sampler(cache: FrameCache, steps: int = 20, seed: int = 0) -> StepSampler:
    bags = [BagTargets(cache, TARGETS, 1.0), BagTargets(cache, TARGETS[:3], 2.0)]
    return StepSampler(bags, seed, batch_size=4, steps=steps)


def test_sampler_is_stateless_and_resumes_anywhere(cache: FrameCache) -> None:
    whole = list(sampler(cache))
    for start in (0, 3, 11, 19, 20):
        resumed = sampler(cache)
        resumed.start_step = start
        assert list(resumed) == whole[start:]
    assert list(sampler(cache, seed=1)) != whole


def test_a_pass_draws_every_sample_as_often_as_its_weight_says(cache: FrameCache) -> None:
    one = sampler(cache)
    per_pass = one.samples_per_pass
    assert per_pass == len(TARGETS) + 6
    drawn = [index for step in one for _, index in step][:per_pass]
    counts = np.bincount(drawn, minlength=len(TARGETS) + 3)
    assert (counts[: len(TARGETS)] == 1).all()
    assert (counts[len(TARGETS) :] == 2).all()


def test_neighbours_vary_over_passes_but_not_over_calls(cache: FrameCache) -> None:
    dataset = TripleDataset([BagTargets(cache, TARGETS)], seed=0)
    again = TripleDataset([BagTargets(cache, TARGETS)], seed=0)
    intervals = [dataset[(position, 3)].interval_s for position in range(12)]
    for position, interval in enumerate(intervals):
        torch.testing.assert_close(again[(position, 3)].interval_s, interval)
    assert len({tuple(interval.flatten().tolist()) for interval in intervals}) == 4
