"""Depth truth from LiDAR, against rendered scenes of exact depth and plain geometry."""

import cv2
import numpy as np
import pytest
from helpers import make_intrinsics, shared_bag

from depth_ros import synthetic
from depth_ros.bags import BagReader, BagTransforms, CameraTopics, read_clouds, read_frames
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import Rectifier
from depth_ros.errors import ConfigError
from depth_ros.evaluation.lidar import OcclusionRule, hidden, lidar_depth, nearest_depth
from depth_ros.motion.se3 import rigid

RULE = OcclusionRule()
CAMERA = Intrinsics(300.0, 300.0, 159.5, 119.5, 320, 240)
CAM_T_LIDAR = rigid(np.eye(3), np.array([-0.35, -0.25, 0.1]))


def scan(scene, world_T_lidar):
    """Points [N,3] that a LiDAR at a pose in optical axes sees: 0.25 by 0.5 degrees apart."""
    eye = Intrinsics(230.0, 115.0, 229.5, 79.5, 460, 160)
    _, depth_m = synthetic.render(scene, eye, world_T_lidar)
    points = np.concatenate([eye.rays(), np.ones((eye.height, eye.width, 1))], axis=-1)
    points = points * depth_m[..., None]
    return points[np.isfinite(depth_m)]


@pytest.fixture(scope='module', params=[3, 8, 11])
def seen(request):
    """Sparse depth of a scan beside the camera, hidden points included, and the exact depth."""
    scene = synthetic.make_scene(seed=request.param)
    world_T_cam = synthetic.make_path(scene, 40, 15.0, seed=request.param)[20]
    _, truth_m = synthetic.render(scene, CAMERA, world_T_cam)
    points = scan(scene, world_T_cam @ CAM_T_LIDAR)
    return nearest_depth(points @ CAM_T_LIDAR[:3, :3].T + CAM_T_LIDAR[:3, 3], CAMERA), truth_m


def test_points_agree_with_exact_depth(seen):
    sparse_m, truth_m = seen
    kept_m = sparse_m.copy()
    kept_m[hidden(sparse_m, CAMERA, RULE)] = np.nan
    # A point lies anywhere in its pixel, where the rendered depth is that of its centre.
    near, far = cv2.erode(truth_m, np.ones((3, 3))), cv2.dilate(truth_m, np.ones((3, 3)))
    wrong = [(d < 0.99 * near) | (d > 1.01 * far) for d in (sparse_m, kept_m)]
    shares = [w.sum() / np.isfinite(d).sum() for w, d in zip(wrong, (sparse_m, kept_m))]
    assert np.isfinite(kept_m).sum() > 4000
    assert shares[1] < 0.01
    assert shares[1] < 0.3 * shares[0] + 1e-3


def test_hidden_points_are_dropped_and_visible_ones_kept(seen):
    sparse_m, truth_m = seen
    known = np.isfinite(sparse_m)
    behind = known & (sparse_m > 1.2 * cv2.dilate(truth_m, np.ones((3, 3))))
    visible = known & (np.abs(sparse_m - truth_m) < 0.02 * truth_m)
    dropped = hidden(sparse_m, CAMERA, RULE)
    assert dropped[visible].mean() < 0.03
    if behind.sum() > 50:
        assert dropped[behind].mean() > 0.7


def wall_and_background(spacing):
    """A wall at 2 m of scan lines `spacing` rows apart in columns 20 to 43, and 8 m all over."""
    camera = make_intrinsics(64, 48, focal=150.0)
    depth_m = np.full((48, 64), np.nan, np.float32)
    depth_m[::3] = 8.0
    depth_m[:, 20:44] = np.nan
    depth_m[1::3, 20:44:2] = 8.0
    depth_m[::spacing, 20:44] = 2.0
    return camera, depth_m


def test_what_is_seen_through_a_surface_is_dropped():
    camera, depth_m = wall_and_background(spacing=3)
    dropped = hidden(depth_m, camera, OcclusionRule(reach_deg=1.5))
    inside = np.zeros(depth_m.shape, bool)
    inside[1:46, 20:44] = True
    assert dropped[inside & (depth_m == 8.0)].all()
    assert not dropped[:, :19].any()
    assert not dropped[:, 45:].any()
    assert not dropped[depth_m == 2.0].any()


def test_reach_is_an_angle():
    camera, depth_m = wall_and_background(spacing=12)
    assert not hidden(depth_m, camera, OcclusionRule(reach_deg=1.5))[14:23, 25:39].any()
    assert hidden(depth_m, camera, OcclusionRule(reach_deg=6.0))[14:23, 25:39].any()


def test_a_road_and_a_slanted_wall_hide_nothing():
    camera = Intrinsics(700.0, 700.0, 99.5, 20.0, 200, 120)
    rays = camera.rays()
    road_m = np.where(rays[..., 1] > 0.01, 1.65 / np.maximum(rays[..., 1], 1e-6), np.nan)
    road_m[np.arange(120) % 4 != 0] = np.nan
    assert not hidden(road_m.astype(np.float32), camera, RULE).any()
    wall_m = (30.0 / (1.0 + 4.0 * rays[..., 0])).astype(np.float32)
    assert not hidden(wall_m, camera, RULE).any()


def test_the_nearest_point_of_a_pixel_counts_and_the_rest_falls_away():
    camera = make_intrinsics(5, 3, focal=10.0)
    points = np.array([
        [0.0, 0.0, 4.0], [0.0, 0.0, 2.0], [0.0, 0.01, 3.0],  # one pixel
        [0.0, 0.0, -1.0], [9.0, 0.0, 1.0], [np.nan, 0.0, 1.0], [0.0, 0.0, np.inf],
        [-0.4, 0.2, 2.0],
    ])
    for order in (slice(None), slice(None, None, -1)):
        depth_m = nearest_depth(points[order], camera)
        assert np.isfinite(depth_m).sum() == 2
        assert depth_m[1, 2] == 2.0
        assert depth_m[2, 0] == 2.0


def test_foreign_byte_order_and_double_precision_do():
    camera = make_intrinsics(5, 3, focal=10.0)
    points = np.array([[0.0, 0.0, 2.0]], '>f8')
    assert lidar_depth(points, camera, RULE)[1, 2] == 2.0


@pytest.mark.parametrize('values', [(0.0, 0.1), (60.0, 0.1), (1.0, 0.0), (1.0, 1.0)])
def test_impossible_rules_are_refused(values):
    with pytest.raises(ConfigError, match='allowed'):
        OcclusionRule(*values)


def test_street_lidar_lies_in_the_image():
    bag = shared_bag('street')
    topics = CameraTopics('/stereo/left/image_rect_color/compressed', '/stereo/left/camera_info')
    clouds = list(read_clouds(bag, '/velodyne_points'))
    frames = list(read_frames(bag, topics))
    assert [cloud.stamp_ns for cloud in clouds] == [frame.stamp_ns for frame in frames]
    with BagReader(bag) as reader:
        transforms = BagTransforms(reader)
        cam_T_lidar = transforms.find(frames[0].frame_id, clouds[0].frame_id, 0)
    for frame, cloud in zip(frames, clouds):
        intrinsics = Rectifier(frame.camera, image_topic=topics.image).intrinsics
        points = cloud.xyz_m.reshape(-1, 3) @ cam_T_lidar[:3, :3].T + cam_T_lidar[:3, 3]
        every_m = nearest_depth(points, intrinsics)
        depth_m = lidar_depth(points, intrinsics, RULE)
        # A 64-beam scanner fills some 4 % of this image, all of it below the upper third.
        assert 17_000 < np.isfinite(depth_m).sum() < 21_000
        assert np.isfinite(depth_m[:100]).sum() == 0
        assert 0.01 < 1.0 - np.isfinite(depth_m).sum() / np.isfinite(every_m).sum() < 0.08
        # The road before the car: 1.65 m below the camera.
        v, u = np.nonzero(np.isfinite(depth_m[340:, 550:650]))
        height_m = depth_m[340:, 550:650][v, u] * (v + 340 - intrinsics.cy) / intrinsics.fy
        assert np.median(height_m) == pytest.approx(1.65, abs=0.1)
