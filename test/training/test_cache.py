"""What a cache holds is what the robot would see, and it is there whole or not at all."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import quiet
from recordings import (
    CAMERA,
    PERIOD_NS,
    forward_pose,
    grey_image,
    rewrite,
    stamp_of,
    true_depth,
    write_recording,
)

from depth_ros import bags
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import Rectifier
from depth_ros.errors import BagError, CameraError, DepthRosError
from depth_ros.messages import bag_messages
from depth_ros.model_folder.spec import Fit
from depth_ros.pipeline.view import View
from training.config import BagSource
from training.data import cache as cache_module
from training.data.cache import CacheSettings, open_cache, sample_depth

FRAMES = 7
CAMERA_SHAPE = (CAMERA.height, CAMERA.width)


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp('bags') / 'short', FRAMES)


def settings(bag: Path, fit: Fit = Fit.LETTERBOX, **source: int) -> CacheSettings:
    return CacheSettings(BagSource(bag, **source), 64, 32, fit)


def test_poses_between_those_of_odometry_are_interpolated(bag: Path, tmp_path: Path) -> None:
    """Odometry comes when it comes: the nearest pose is 20 ms late for all of these frames."""
    late_ns = 20_000_000
    added = [
        ('/truth', stamp_of(i) + late_ns, bag_messages.odometry(
            stamp_of(i) + late_ns, 'world', 'camera', forward_pose(i + late_ns / PERIOD_NS)))
        for i in range(FRAMES)
    ]  # fmt: skip
    late = rewrite(
        tmp_path / 'late', bag, lambda t, _, m: None if t == '/truth' else m, odometry=added
    )
    cache = open_cache(settings(late), tmp_path / 'caches', quiet)
    assert cache.world_T_cam is not None
    for i in range(1, FRAMES):
        np.testing.assert_allclose(cache.world_T_cam[i], forward_pose(i), atol=1e-9)


@pytest.mark.parametrize('fit', list(Fit))
def test_frames_are_those_of_the_robots_view(bag: Path, tmp_path: Path, fit: Fit) -> None:
    cache = open_cache(settings(bag, fit), tmp_path, quiet)
    view = View.fit(CAMERA, 64, 32, fit)
    assert len(cache) == FRAMES
    k = view.network_intrinsics
    for i in range(FRAMES):
        image = np.repeat(grey_image(i)[..., None], 3, axis=2)
        np.testing.assert_array_equal(cache.images[i], view.to_network(image))
        assert cache.intrinsics[i].tolist() == pytest.approx([k.fx, k.fy, k.cx, k.cy])
        assert cache.stamps_ns[i] == stamp_of(i)
        x0, y0, x1, y1 = cache.visible[i]
        assert (slice(y0, y1), slice(x0, x1)) == view.visible
    np.testing.assert_array_equal(cache.indices, np.arange(FRAMES))


def test_truth_belongs_to_its_frames(bag: Path, tmp_path: Path) -> None:
    cache = open_cache(settings(bag), tmp_path, quiet)
    assert cache.depth_m is not None
    assert cache.world_T_cam is not None
    x0, y0, x1, y1 = cache.visible[0]
    for i in range(FRAMES):
        np.testing.assert_allclose(cache.world_T_cam[i], forward_pose(i), atol=1e-9)
        # Brightness is depth in this recording, the mean over a few pixels apart.
        seen = cache.images[i, y0:y1, x0:x1, 0] * 0.02
        error = np.abs(cache.depth_m[i, y0:y1, x0:x1].astype(float) - seen)
        assert error.mean() < 0.15
    assert np.isnan(cache.depth_m[:, :, :x0]).all()
    assert np.isnan(cache.depth_m[:, :, x1:]).all()


def test_depth_is_the_nearest_pixel_by_a_naive_search() -> None:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 9, (24, 32)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.2] = np.nan
    depth[0, 0] = 0
    camera = Intrinsics(60.0, 61.0, 33.0, 22.0, 64, 48)
    network = View.fit(camera, 48, 32, Fit.LETTERBOX).network_intrinsics
    found = sample_depth(depth, camera, network)
    half = camera.scaled(32, 24)
    for v in range(32):
        for u in range(48):
            column = round((u - network.cx) / network.fx * half.fx + half.cx)
            row = round((v - network.cy) / network.fy * half.fy + half.cy)
            inside = 0 <= column < 32 and 0 <= row < 24
            expected = depth[row, column] if inside else np.nan
            expected = expected if expected > 0 else np.nan
            np.testing.assert_array_equal(found[v, u], expected)


def test_distorted_images_are_rectified(tmp_path: Path) -> None:
    distortion = (-0.3, 0.1, 0.0, 0.0, 0.0)
    with bags.BagWriter(tmp_path / 'bag') as bag:
        stamp = stamp_of(0)
        image = np.repeat(grey_image(0)[..., None], 3, axis=2)
        info = bag_messages.camera_info(stamp, 'camera', CAMERA)
        info.d = np.array(distortion)
        model = CameraModel.from_info(info)
        bag.write('/image', bag_messages.IMAGE, stamp,
                  bag_messages.image(stamp, 'camera', image, 'rgb8'))  # fmt: skip
        bag.write('/camera_info', bag_messages.CAMERA_INFO, stamp, info)
    cache = open_cache(settings(tmp_path / 'bag'), tmp_path, quiet)
    rectifier = Rectifier(model)
    view = View.fit(rectifier.intrinsics, 64, 32, Fit.LETTERBOX)
    np.testing.assert_array_equal(cache.images[0], view.to_network(rectifier(image)))
    assert not np.array_equal(cache.images[0], view.to_network(image))
    assert cache.depth_m is None
    assert cache.world_T_cam is None


def test_ranges_and_unwanted_truth(bag: Path, tmp_path: Path) -> None:
    part = replace(settings(bag, first=2, last=5), depth_truth=False, odometry_truth=False)
    cache = open_cache(part, tmp_path, quiet)
    assert cache.stamps_ns.tolist() == [stamp_of(i) for i in (2, 3, 4)]
    assert cache.indices.tolist() == [2, 3, 4]
    assert cache.depth_m is None
    assert cache.world_T_cam is None


def test_a_cache_is_built_once_for_each_bag_and_setting(bag: Path, tmp_path: Path) -> None:
    told: list[str] = []
    first = open_cache(settings(bag), tmp_path, told.append)
    again = open_cache(settings(bag), tmp_path, told.append)
    assert len(told) == 1
    assert first.folder == again.folder
    assert open_cache(settings(bag, last=3), tmp_path, told.append).folder != first.folder
    file = next(bag.glob('*.mcap'))
    stat = file.stat()
    try:
        file.touch()
        assert open_cache(settings(bag), tmp_path, told.append).folder != first.folder
    finally:
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len(told) == 3


def test_weight_of_a_bag_is_not_part_of_its_cache(bag: Path, tmp_path: Path) -> None:
    first = open_cache(settings(bag), tmp_path, quiet)
    weighted = CacheSettings(BagSource(bag, weight=3.0), 64, 32, Fit.LETTERBOX)
    assert open_cache(weighted, tmp_path, quiet).folder == first.folder


@pytest.mark.parametrize('when', ['_write_frames', '_write_depth'])
def test_full_disk_is_one_line_and_leaves_nothing(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real = getattr(cache_module, when)

    def full(*args: object) -> None:
        real(*args)
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(cache_module, when, full)
    with pytest.raises(DepthRosError, match='disk full while caching') as caught:
        open_cache(settings(bag), tmp_path, quiet)
    assert '\n' not in str(caught.value)
    assert [path for path in tmp_path.iterdir() if path.suffix != '.lock'] == []


def test_what_a_killed_run_left_is_replaced(bag: Path, tmp_path: Path) -> None:
    whole = open_cache(settings(bag), tmp_path / 'a', quiet)
    left = tmp_path / 'b' / whole.folder.with_suffix('.partial').name
    left.mkdir(parents=True)
    (left / 'images.raw').write_bytes(b'half')
    cache = open_cache(settings(bag), tmp_path / 'b', quiet)
    np.testing.assert_array_equal(cache.images, whole.images)
    assert not left.exists()


def test_folder_that_cannot_be_written(bag: Path, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(DepthRosError, match=r'cannot write .*file'):
        open_cache(settings(bag), tmp_path / 'file', quiet)


def test_bad_bags_are_refused(bag: Path, tmp_path: Path) -> None:
    with pytest.raises(BagError, match='no bag at'):
        open_cache(settings(tmp_path / 'missing'), tmp_path, quiet)
    with pytest.raises(BagError, match=r'has no images .* from frame 100 to the end'):
        open_cache(settings(bag, first=100), tmp_path, quiet)
    with bags.BagWriter(tmp_path / 'uncalibrated') as writer:
        info = bag_messages.camera_info(stamp_of(0), 'camera', CAMERA)
        info.k = np.zeros(9)
        image = bag_messages.image(stamp_of(0), 'camera', np.zeros((48, 64, 3), np.uint8), 'rgb8')
        writer.write('/image', bag_messages.IMAGE, stamp_of(0), image)
        writer.write('/camera_info', bag_messages.CAMERA_INFO, stamp_of(0), info)
    with pytest.raises(CameraError, match='not calibrated'):
        open_cache(settings(tmp_path / 'uncalibrated'), tmp_path, quiet)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == '.partial'] == []


def test_depth_is_kept_in_metres(bag: Path, tmp_path: Path) -> None:
    stretched = CacheSettings(BagSource(bag), 64, 48, Fit.STRETCH)
    cache = open_cache(stretched, tmp_path, quiet)
    assert cache.depth_m is not None
    np.testing.assert_array_equal(cache.depth_m[3], true_depth(3))


def test_frames_with_truth_are_told_from_others(tmp_path: Path) -> None:
    sparse = write_recording(tmp_path / 'sparse', FRAMES, depth_every=3)
    cache = open_cache(settings(sparse), tmp_path, quiet)
    assert cache.depth_m is not None
    np.testing.assert_array_equal(cache.has_truth, np.arange(FRAMES) % 3 == 0)
    np.testing.assert_array_equal(np.isfinite(cache.depth_m).any((1, 2)), cache.has_truth)
    blind = write_recording(tmp_path / 'blind', FRAMES, depth=False)
    assert not open_cache(settings(blind), tmp_path, quiet).has_truth.any()


def test_of_several_depth_images_about_a_frame_the_nearest_is_its_truth(tmp_path: Path) -> None:
    with bags.BagWriter(tmp_path / 'bag') as bag:
        for i in range(3):
            image = np.repeat(grey_image(i)[..., None], 3, axis=2)
            bag.write('/image', bag_messages.IMAGE, stamp_of(i),
                      bag_messages.image(stamp_of(i), 'camera', image, 'rgb8'))  # fmt: skip
            bag.write('/camera_info', bag_messages.CAMERA_INFO, stamp_of(i),
                      bag_messages.camera_info(stamp_of(i), 'camera', CAMERA))  # fmt: skip
            for late_ms in (-20, -9, 1, 12, 23):
                stamp = stamp_of(i) + late_ms * 1_000_000
                depth_m = np.full(CAMERA_SHAPE, 10 * i + 5 + late_ms / 10, np.float32)
                bag.write('/depth/image', bag_messages.IMAGE, stamp,
                          bag_messages.image(stamp, 'camera', depth_m, '32FC1'))  # fmt: skip
    cache = open_cache(CacheSettings(BagSource(tmp_path / 'bag'), 64, 48, Fit.STRETCH),
                       tmp_path, quiet)  # fmt: skip
    assert cache.depth_m is not None
    np.testing.assert_allclose(cache.depth_m[:, 24, 32], [5.1, 15.1, 25.1], rtol=1e-6)
