"""Synthetic scenes: exact geometry, photometric consistency, safe paths, bags."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from helpers import make_intrinsics

from depth_ros.bags import (
    BagReader,
    find_camera_topics,
    find_depth_topic,
    find_odometry_topic,
    read_depth,
    read_frames,
    read_trajectory,
)
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cli.main import main
from depth_ros.errors import ConfigError
from depth_ros.synthetic import (
    CameraMount,
    Scene,
    SyntheticBag,
    WallStyle,
    make_path,
    make_scene,
    render,
    write_bag,
)
from depth_ros.synthetic.textures import SIZE, TextureKind, make_texture, pyramid

CAMERA = make_intrinsics(160, 120, 130.0)
SEEDS = (0, 3)


@pytest.fixture(scope='module')
def scenes() -> dict[int, Scene]:
    return {seed: make_scene(seed) for seed in SEEDS}


@pytest.fixture(params=SEEDS)
def scene(request, scenes) -> Scene:
    return scenes[request.param]


def naive_depth(scene: Scene, camera: Intrinsics, world_T_cam: np.ndarray, u: int, v: int):
    """Depth along one ray by the slab test of every box, and of the room from inside."""
    ray = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
    direction, origin = world_T_cam[:3, :3] @ ray, world_T_cam[:3, 3]
    nearest = np.inf
    for axis in range(3):
        bound = scene.size[axis] if direction[axis] > 0 else 0.0
        nearest = min(nearest, (bound - origin[axis]) / direction[axis])
    for box in scene.boxes:
        local_o = box.world_R_box.T @ (origin - box.centre)
        local_d = box.world_R_box.T @ direction
        half = np.array(box.size) / 2
        a, b = (-half - local_o) / local_d, (half - local_o) / local_d
        enter, leave = np.minimum(a, b).max(), np.maximum(a, b).min()
        if enter <= leave and enter > 0:
            nearest = min(nearest, enter)
    return nearest


def distance_to_everything(scene: Scene, position: np.ndarray) -> float:
    nearest = min(position.min(), (np.array(scene.size) - position).min())
    for box in scene.boxes:
        local = np.abs(box.world_R_box.T @ (position - box.centre))
        outside = np.maximum(local - np.array(box.size) / 2, 0)
        nearest = min(nearest, float(np.linalg.norm(outside)))
    return nearest


def warped(source, source_depth, depth, source_T_target):
    """The source picture seen from the target, and where both see the same surface."""
    points = np.dstack([CAMERA.rays() * depth[..., None], depth])
    points = points @ source_T_target[:3, :3].T + source_T_target[:3, 3]
    u = (points[..., 0] / points[..., 2] * CAMERA.fx + CAMERA.cx).astype(np.float32)
    v = (points[..., 1] / points[..., 2] * CAMERA.fy + CAMERA.cy).astype(np.float32)
    picture = cv2.remap(source, u, v, cv2.INTER_LINEAR)
    seen = cv2.remap(source_depth, u, v, cv2.INTER_NEAREST)
    inside = (u >= 0) & (u <= CAMERA.width - 1) & (v >= 0) & (v <= CAMERA.height - 1)
    return picture, inside & (np.abs(seen / points[..., 2] - 1) < 0.02)


def test_pictures_and_depth_have_the_promised_form(scene):
    rgb, depth = render(scene, CAMERA, make_path(scene, 1)[0])
    assert rgb.shape == (120, 160, 3)
    assert rgb.dtype == np.uint8
    assert depth.shape == (120, 160)
    assert depth.dtype == np.float32
    assert np.isfinite(depth).all()
    assert rgb.std() > 15


def test_depth_is_that_of_a_naive_ray_caster(scene):
    rng = np.random.default_rng(1)
    for world_T_cam in make_path(scene, 60, seed=4)[::20]:
        _, depth = render(scene, CAMERA, world_T_cam)
        pixels = rng.integers(0, (160, 120), (80, 2))
        naive = [naive_depth(scene, CAMERA, world_T_cam, u, v) for u, v in pixels]
        errors = np.abs(depth[pixels[:, 1], pixels[:, 0]] / naive - 1)
        # A ray through an edge may take either side.
        assert np.mean(errors < 1e-3) > 0.97
        assert np.median(errors) < 1e-5


def test_true_depth_and_motion_explain_the_next_picture_and_wrong_ones_do_not(scene):
    path = make_path(scene, 200, seed=1)
    errors = {'true': [], 'no motion': [], 'reversed': [], 'flat': []}
    for index in range(20, 180, 40):
        first, first_depth = render(scene, CAMERA, path[index])
        second, depth = render(scene, CAMERA, path[index + 5])
        motion = np.linalg.inv(path[index]) @ path[index + 5]
        picture, same = warped(first, first_depth, depth, motion)
        flat = np.full_like(depth, np.median(depth))
        cases = {
            'true': picture,
            'no motion': first,
            'reversed': warped(first, first_depth, depth, np.linalg.inv(motion))[0],
            'flat': warped(first, first_depth, flat, motion)[0],
        }
        for name, case in cases.items():
            errors[name].append(np.abs(case.astype(float) - second)[same].mean())
    mean = {name: np.mean(values) for name, values in errors.items()}
    assert mean['true'] < 5
    assert mean['no motion'] > 5 * mean['true']
    assert mean['reversed'] > 5 * mean['true']
    assert mean['flat'] > 2 * mean['true']


def test_turning_the_camera_about_its_centre_keeps_what_it_sees(scene):
    pose = make_path(scene, 1)[0]
    rolled = pose.copy()
    rolled[:3, :3] = pose[:3, :3] @ np.diag([-1.0, -1.0, 1.0])
    rgb, depth = render(scene, CAMERA, pose)
    other, other_depth = render(scene, CAMERA, rolled)
    np.testing.assert_allclose(other_depth[::-1, ::-1], depth, rtol=1e-4)
    assert np.abs(other[::-1, ::-1].astype(int) - rgb).mean() < 1


def test_the_seed_decides_everything(scenes):
    again = make_scene(SEEDS[0])
    path = make_path(again, 5, seed=2)
    np.testing.assert_array_equal(path, make_path(scenes[SEEDS[0]], 5, seed=2))
    first = render(scenes[SEEDS[0]], CAMERA, path[4])
    second = render(again, CAMERA, path[4])
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(path, make_path(again, 5, seed=3))


@pytest.mark.parametrize('seed', [1, 2])
def test_paths_are_smooth_turn_and_keep_away(scene, seed):
    rate = 15.0
    path = make_path(scene, 450, rate, seed, speed=0.5)
    rotation = path[:, :3, :3]
    identity = np.broadcast_to(np.eye(3), rotation.shape)
    np.testing.assert_allclose(rotation @ rotation.transpose(0, 2, 1), identity, atol=1e-9)
    assert np.allclose(np.linalg.det(rotation), 1)

    velocity = np.diff(path[:, :3, 3], axis=0) * rate
    assert 0.35 < np.median(np.linalg.norm(velocity, axis=1)) < 0.65
    assert np.abs(np.diff(velocity, axis=0)).max() < 0.3
    step = np.einsum('nij,nij->n', rotation[:-1], rotation[1:])
    assert np.degrees(np.arccos(np.clip((step - 1) / 2, -1, 1))).max() < 9

    yaw = np.unwrap(np.arctan2(path[:, 1, 2], path[:, 0, 2]))
    assert np.ptp(yaw) > np.radians(90)
    assert np.ptp(np.arcsin(path[:, 2, 2])) > np.radians(5)
    assert np.ptp(path[:, 2, 3]) > 0.1
    assert min(distance_to_everything(scene, p) for p in path[::5, :3, 3]) > 0.35


def test_a_robots_camera_keeps_its_height_and_pitch_and_drives_around_furniture():
    scene = make_scene(7005)
    mount = CameraMount(0.9, np.radians(-12))
    path = make_path(scene, 200, 10.0, 5, speed=0.5, mount=mount)
    np.testing.assert_allclose(path[:, 2, 3], 0.9, atol=0.01)
    np.testing.assert_allclose(np.degrees(np.arcsin(path[:, 2, 2])), -12, atol=0.3)
    np.testing.assert_allclose(path[:, 2, 0], 0, atol=1e-9)  # no roll
    assert np.linalg.norm(np.ptp(path[:, :2, 3], axis=0)) > 2
    for place in path[::10, :3, 3]:
        body = [np.array([*place[:2], z]) for z in np.arange(0.4, 0.95, 0.1)]
        assert min(distance_to_everything(scene, point) for point in body) > 0.35


def test_a_pitch_without_a_height_is_refused(tmp_path, capsys):
    status = main(['synthesize', '--out', str(tmp_path / 'bag'), '--camera-pitch', '-5'])
    assert status != 0
    assert '--camera-pitch -5 needs --camera-height' in capsys.readouterr().err
    assert not (tmp_path / 'bag').exists()


@pytest.mark.parametrize(
    ('height', 'pitch', 'words'),
    [(0.0, 0, 'height 0 m'), (3.0, 0, 'height 3 m'), (1.0, -2, 'pitch'), (np.nan, 0, 'nan m')],
)
def test_mounts_of_no_robot_are_refused(height, pitch, words):
    with pytest.raises(ConfigError, match=words):
        CameraMount(height, pitch)


def test_depth_stays_in_the_range_of_indoor_cameras(scene):
    tiny = make_intrinsics(40, 30, 35.0)
    depth = np.stack([render(scene, tiny, pose)[1] for pose in make_path(scene, 300)[::25]])
    assert depth.min() > 0.25
    assert depth.max() < 13


def test_plain_walls_show_nothing_but_light():
    scene = make_scene(3, WallStyle.PLAIN)
    for surface in scene.surfaces[:5]:
        assert np.ptp(scene.textures[surface.material.texture][0]) == 0
    floor = scene.textures[scene.surfaces[5].material.texture][0]
    assert floor.std() > 5


@pytest.mark.parametrize(('frames', 'rate', 'speed'), [(0, 15, 1), (5, 0, 1), (5, 15, -1)])
def test_impossible_paths_are_refused(scene, frames, rate, speed):
    with pytest.raises(ConfigError):
        make_path(scene, frames, rate, speed=speed)


@pytest.mark.parametrize('kind', list(TextureKind))
def test_textures_repeat_without_a_seam_and_have_detail_at_every_scale(kind):
    texture = make_texture(kind, np.random.default_rng(5), (0.6, 0.5, 0.4))
    assert texture.shape == (SIZE, SIZE, 3)
    levels = pyramid(texture)
    assert [level.shape[0] for level in levels] == [SIZE >> i for i in range(len(levels))]
    assert levels[-1].shape[0] == 2
    assert levels[0].std() > 2
    assert levels[4].std() > 0.5
    rows = texture.astype(float)
    inner = np.abs(np.diff(rows, axis=0)).mean(axis=(1, 2))
    seam = np.abs(rows[0] - rows[-1]).mean()
    assert seam <= inner.max() * 1.5 + 2


def test_a_stereo_bag_has_the_layout_of_an_rgbd_camera(tmp_path):
    bag = SyntheticBag(seed=1, frames=3, rate_hz=10.0, intrinsics=CAMERA, baseline_m=0.1)
    counts = []
    write_bag(tmp_path / 'bag', bag, on_frame=counts.append)
    assert counts == [1, 2, 3]
    with BagReader(tmp_path / 'bag') as reader:
        topics = find_camera_topics(reader, '/camera/color/image_raw')
        right = find_camera_topics(reader, '/camera/right/image_raw')
        depth_topic, odometry = find_depth_topic(reader), find_odometry_topic(reader)
    frames = list(read_frames(tmp_path / 'bag', topics))
    others = list(read_frames(tmp_path / 'bag', right))
    depth = dict(read_depth(tmp_path / 'bag', depth_topic))
    poses = read_trajectory(tmp_path / 'bag', odometry, frames[0].frame_id)
    assert poses.child_frame_id == frames[0].frame_id == 'camera_color_optical_frame'
    assert frames[1].stamp_ns - frames[0].stamp_ns == 100_000_000
    assert others[0].camera.baseline_m == pytest.approx(0.1)

    scene = make_scene(1)
    path = make_path(scene, 3, 10.0, 1)
    for frame, other, world_T_cam in zip(frames, others, path):
        rgb, exact = render(scene, CAMERA, world_T_cam)
        found = poses.at(np.array([frame.stamp_ns]))
        np.testing.assert_allclose(found[0], world_T_cam, atol=1e-9)
        np.testing.assert_allclose(depth[frame.stamp_ns], exact, atol=6e-4)
        assert np.abs(frame.image.astype(int) - rgb).mean() < 4
        left_T_right = np.eye(4)
        left_T_right[0, 3] = 0.1
        picture, same = warped(
            other.image, render(scene, CAMERA, world_T_cam @ left_T_right)[1], exact,
            np.linalg.inv(left_T_right),
        )
        assert np.abs(picture.astype(int) - frame.image)[same].mean() < 6


@pytest.mark.parametrize(
    ('name', 'value'),
    [('frames', 0), ('rate_hz', 0.0), ('baseline_m', 1.0), ('jpeg_quality', 0), ('speed', 0.0),
     ('rate_hz', float('nan')), ('rate_hz', 1e18), ('rate_hz', 1e-12), ('speed', float('inf')),
     ('speed', 1e9), ('seed', -1)],
)  # fmt: skip
def test_impossible_bags_are_refused(name, value):
    values = {'seed': 0, 'frames': 2, 'rate_hz': 5.0, 'intrinsics': CAMERA, name: value}
    with pytest.raises(ConfigError, match=re.escape(f'{value:g}')):
        SyntheticBag(**values)


def test_the_verb_makes_a_bag_that_reads_back(tmp_path):
    out = str(tmp_path / 'bag')
    size = ['--width', '64', '--height', '48', '--fov', '90']
    command = ['synthesize', '--out', out, '--seed', '3', '--frames', '2', *size]
    assert main([*command, '--storage', 'sqlite3']) == 0
    with BagReader(out) as reader:
        frame = next(read_frames(out, find_camera_topics(reader)))
    assert (frame.camera.width, frame.camera.height) == (64, 48)
    assert frame.camera.k[0] == pytest.approx(32.0)


@pytest.mark.parametrize('wrong', [
    ['--frames', '0'], ['--fov', '190'], ['--width', '0'], ['--seed', '-1'],
])
def test_the_verb_refuses_the_impossible_in_one_line(tmp_path, capsys, wrong):
    assert main(['synthesize', '--out', str(tmp_path / 'bag'), *wrong]) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith('depth_ros synthesize: error: ')
    assert '\n' not in message
    assert list(tmp_path.iterdir()) == []
