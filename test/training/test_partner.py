"""Pairs of cameras from bag to batch: signs, missing partners, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import quiet, shared_bag
from recordings import stamp_of
from rendered_frames import CAMERA
from view_synthesis import warp

from depth_ros import synthetic
from depth_ros.bags import BagWriter
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import BagError, CameraError
from depth_ros.messages import bag_messages
from depth_ros.model_folder.spec import Fit
from training.config import AugmentConfig, BagSource
from training.data import augment
from training.data.batch import STEREO, TARGET, Batch
from training.data.cache import CacheSettings, FrameCache, open_cache
from training.data.dataset import BagTargets, TripleDataset
from training.data.pairs import single_targets

BASELINE_M = 0.2
FRAMES = 3
Change = Callable[[int, Intrinsics], tuple[int, Intrinsics]]


def as_it_is(stamp_ns: int, camera: Intrinsics) -> tuple[int, Intrinsics]:
    return stamp_ns, camera


def write(path: Path, baseline_m: float = BASELINE_M, right: Change = as_it_is) -> Path:
    """A rendered pair; `right` changes stamp and camera of what the right topics tell."""
    scene = synthetic.make_scene(seed=3)
    poses = synthetic.make_path(scene, FRAMES, 8.0, seed=3)
    left_T_right = np.eye(4)
    left_T_right[0, 3] = BASELINE_M
    with BagWriter(path) as bag:
        for i, pose in enumerate(poses):
            for side, place in (('left', np.eye(4)), ('right', left_T_right)):
                is_right = side == 'right'
                stamp, camera = right(stamp_of(i), CAMERA) if is_right else (stamp_of(i), CAMERA)
                rgb, depth_m = synthetic.render(scene, CAMERA, pose @ place)
                image = bag_messages.image(stamp, 'left_optical', rgb, 'rgb8')
                bag.write(f'/{side}/image', bag_messages.IMAGE, stamp, image)
                right_m = baseline_m if is_right else 0.0
                info = bag_messages.camera_info(stamp, 'left_optical', camera, right_m)
                bag.write(f'/{side}/camera_info', bag_messages.CAMERA_INFO, stamp, info)
                depth = bag_messages.image(stamp, 'left_optical', depth_m, '32FC1')
                bag.write(f'/{side}/depth/image', bag_messages.IMAGE, stamp, depth)
    return path


def settings(bag: Path, side: str = 'left') -> CacheSettings:
    source = BagSource(bag, image_topic=f'/{side}/image', depth_topic=f'/{side}/depth/image')
    return CacheSettings(source, CAMERA.width, CAMERA.height, Fit.STRETCH, stereo=True)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp('bags') / 'pair')


def batch_of(cache: FrameCache) -> Batch:
    targets = single_targets(np.ones(len(cache), bool))
    dataset = TripleDataset([BagTargets(cache, targets)], seed=0)
    return dataset.__getitems__([(i, i) for i in range(len(cache))])


def warp_error(batch: Batch, images01: torch.Tensor, stereo_T_target: torch.Tensor) -> float:
    """Mean difference of the partner's image, warped by true depth, to the target's."""
    warped, visible = warp(
        images01[:, STEREO], torch.nan_to_num(batch.depth_m, nan=1.0)[:, None],
        batch.intrinsics, batch.intrinsics, stereo_T_target,
    )  # fmt: skip
    known = visible & torch.isfinite(batch.depth_m)[:, None]
    difference = (warped - images01[:, TARGET]).abs().mean(1, keepdim=True)
    return float((difference * known).sum() / known.sum())


@pytest.mark.parametrize(('side', 'sign'), [('left', -1), ('right', 1)])
@pytest.mark.parametrize('flip', [0.0, 1.0], ids=['plain', 'mirrored'])
def test_true_depth_takes_the_partner_to_the_target(
    bag: Path, tmp_path: Path, side: str, sign: int, flip: float
) -> None:
    batch = batch_of(open_cache(settings(bag, side), tmp_path, quiet))
    draws = augment.draw(AugmentConfig(flip=flip, jitter=0.0), 0, 0, FRAMES)
    images01 = augment.to_unit_images(batch.images)
    batch, images01 = augment.change_geometry(batch, images01, draws)
    expected = torch.eye(4).repeat(FRAMES, 1, 1)
    expected[:, 0, 3] = sign * (1 - 2 * flip) * BASELINE_M
    torch.testing.assert_close(batch.stereo_T_target, expected)
    right = warp_error(batch, images01, batch.stereo_T_target)
    assert right < 0.03
    for factor in (-1.0, 0.0, 0.7, 1.4):
        wrong = batch.stereo_T_target.clone()
        wrong[:, 0, 3] *= factor
        assert warp_error(batch, images01, wrong) > 1.3 * right


def test_frames_without_a_partner_are_blank_and_unknown(tmp_path: Path) -> None:
    def late(stamp_ns: int, camera: Intrinsics) -> tuple[int, Intrinsics]:
        return stamp_ns + (40_000_000 if stamp_ns == stamp_of(1) else 4_000_000), camera

    cache = open_cache(settings(write(tmp_path / 'bag', right=late)), tmp_path, quiet)
    assert cache.partner_right_m is not None
    assert np.isnan(cache.partner_right_m).tolist() == [False, True, False]
    batch = batch_of(cache)
    assert not batch.images[1, STEREO].any()
    assert batch.images[0, STEREO].any()
    assert torch.isnan(batch.stereo_T_target).all(-1).all(-1).tolist() == [False, True, False]


def test_bags_with_and_without_a_pair_share_a_batch(bag: Path, tmp_path: Path) -> None:
    pair = open_cache(settings(bag), tmp_path, quiet)
    alone = FrameCache(
        pair.folder, pair.images, pair.intrinsics, pair.visible, pair.stamps_ns, pair.indices,
        depth_m=None, has_truth=np.zeros(FRAMES, bool), world_T_cam=None,
    )  # fmt: skip
    targets = single_targets(np.ones(FRAMES, bool))
    dataset = TripleDataset([BagTargets(alone, targets), BagTargets(pair, targets)], seed=0)
    batch = dataset.__getitems__([(0, 0), (1, FRAMES)])
    assert batch.images.shape[1] == STEREO + 1
    assert torch.isfinite(batch.stereo_T_target).all(-1).all(-1).tolist() == [False, True]
    both_alone = TripleDataset([BagTargets(alone, targets)], seed=0)
    assert both_alone[(0, 0)].images.shape[1] == STEREO


def test_a_run_without_stereo_reads_no_partner(bag: Path, tmp_path: Path) -> None:
    plain = CacheSettings(BagSource(bag, image_topic='/left/image',
                                    depth_topic='/left/depth/image'), 96, 64, Fit.STRETCH)
    assert open_cache(plain, tmp_path, quiet).partner_images is None


def test_what_is_no_rectified_pair_is_refused(tmp_path: Path) -> None:
    def wider(stamp_ns: int, camera: Intrinsics) -> tuple[int, Intrinsics]:
        fx, fy, cx, cy = camera.fx, camera.fy, camera.cx + 3, camera.cy
        return stamp_ns, Intrinsics(fx, fy, cx, cy, camera.width, camera.height)

    def never(stamp_ns: int, camera: Intrinsics) -> tuple[int, Intrinsics]:
        return stamp_ns + 30_000_000, camera

    for name, error, text, bag in (
        ('k', CameraError, 'are no rectified stereo pair', {'right': wider}),
        ('p', CameraError, 'lie in one place', {'baseline_m': 0.0}),
        ('t', BagError, 'is within 5 ms', {'right': never}),
    ):
        with pytest.raises(error, match=text):
            open_cache(settings(write(tmp_path / name, **bag)), tmp_path, quiet)


def test_a_real_pair_has_its_true_baseline(tmp_path: Path) -> None:
    for side, sign in (('left', 1), ('right', -1)):
        source = BagSource(shared_bag('street'), image_topic=f'/stereo/{side}/image_rect_color')
        cache = open_cache(CacheSettings(source, 320, 96, Fit.STRETCH, stereo=True),
                           tmp_path, quiet)  # fmt: skip
        assert cache.partner_right_m is not None
        np.testing.assert_allclose(cache.partner_right_m, sign * 0.5327, atol=1e-3)
