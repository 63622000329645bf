"""Evaluation against a LiDAR beside the camera, on recordings with known truth."""

import json
from pathlib import Path

import graphs
import numpy as np
import pytest
import recordings
from helpers import shared_bag

from depth_ros.bags import BagWriter, Selection
from depth_ros.cli.main import main
from depth_ros.errors import BagError, ConfigError
from depth_ros.evaluation.evaluate import evaluate
from depth_ros.evaluation.pages import to_text
from depth_ros.evaluation.request import EvaluationRequest, LidarTruth
from depth_ros.evaluation.truth import find_topics
from depth_ros.messages import bag_messages
from depth_ros.messages.bag_messages import PointField
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.motion.egomotion import OdometrySettings
from depth_ros.motion.mounting import parent_T_child
from depth_ros.motion.se3 import inverse
from depth_ros.pipeline import DepthPipeline

IN_CAMERA = (-0.3, 0.1, 0.4, 0.02, -0.05, 1.2)
CAM_T_LIDAR = inverse(DEFAULT_BASE_T_CAM) @ parent_T_child(IN_CAMERA)
FIELDS = tuple(PointField(name, 4 * i, 7) for i, name in enumerate('xyz'))


def write_lidar_bag(path, frames=6, *, connected=True, odometry=False, lidars=('/points',),
                    late_ns=0, baseline_m=0.0):
    """The recording of recordings.py with its depth as points of a LiDAR, 1 in 2 of them."""
    rays = np.concatenate([recordings.CAMERA.rays(), np.ones((48, 64, 1))], axis=-1)
    with BagWriter(path) as bag:
        if connected:
            bag.write('/tf_static', bag_messages.TRANSFORMS, 0,
                      bag_messages.transform(0, 'camera', 'lidar', CAM_T_LIDAR))
        for index in range(frames):
            stamp = recordings.stamp_of(index)
            rgb = np.repeat(recordings.grey_image(index)[..., None], 3, axis=2)
            bag.write('/image', bag_messages.IMAGE, stamp,
                      bag_messages.image(stamp, 'camera', rgb, 'rgb8'))
            bag.write('/camera_info', bag_messages.CAMERA_INFO, stamp, bag_messages.camera_info(
                stamp, 'camera', recordings.CAMERA, baseline_m))
            if baseline_m:
                bag.write('/left/camera_info', bag_messages.CAMERA_INFO, stamp,
                          bag_messages.camera_info(stamp, 'camera', recordings.CAMERA))
            points = (rays * recordings.true_depth(index)[..., None])[:, ::2].reshape(-1, 3)
            points[:, 0] += baseline_m
            lidar_T_cam = inverse(CAM_T_LIDAR)
            points = points @ lidar_T_cam[:3, :3].T + lidar_T_cam[:3, 3]
            for topic in lidars:
                bag.write(topic, bag_messages.POINT_CLOUD, stamp, bag_messages.point_cloud(
                    stamp + late_ns, 'lidar',
                    points.astype(np.float32).view(np.uint8).reshape(1, -1, 12), FIELDS,
                    is_dense=True))
            if odometry:
                bag.write('/truth', bag_messages.ODOMETRY, stamp, bag_messages.odometry(
                    stamp, 'world', 'camera', recordings.forward_pose(index)))
    return path


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'tiny')


def run(model, bag, **changes):
    request = EvaluationRequest(bag=bag, selection=changes.pop('selection', Selection()),
                                odometry=OdometrySettings(refine=False), **changes)
    return evaluate(request, DepthPipeline.open(model), lambda done: None)


def test_the_only_lidar_is_found_and_a_true_model_has_no_error(tmp_path, model):
    evaluation = run(model, write_lidar_bag(tmp_path / 'bag'))
    scores = evaluation.depth[0]
    assert (scores.images, scores.coverage) == (6, 1.0)
    assert scores.unscaled.abs_rel < 1e-3
    # Points have no neighbours, so that there are no contours between them to judge.
    assert [score.boundaries for score in evaluation.depth] == [None, None]
    assert 'boundary' not in to_text(evaluation)
    assert evaluation.truth == '/points'
    assert any('sweep' in remark for remark in evaluation.remarks)


def test_guesses_know_the_lidar_of_the_training_frames(tmp_path, model):
    evaluation = run(model, write_lidar_bag(tmp_path / 'bag'), selection=Selection(4),
                     training=Selection(0, 4))
    assert [scores.name for scores in evaluation.depth] == [
        'model', 'constant', 'image-blind mean', 'last training frame held']


def test_given_place_equals_that_of_static_transforms(tmp_path, model):
    bag = write_lidar_bag(tmp_path / 'bag', connected=False)
    with pytest.raises(BagError, match=r"do not connect the camera 'camera'.*--lidar-in-camera"):
        run(model, bag)
    evaluation = run(model, bag, lidar=LidarTruth(in_camera=IN_CAMERA))
    assert evaluation.depth[0].unscaled.abs_rel < 1e-3


def test_an_unusable_lidar_that_nobody_named_leaves_odometry_to_compare(tmp_path, model):
    bag = write_lidar_bag(tmp_path / 'bag', connected=False, odometry=True)
    evaluation = run(model, bag)
    assert evaluation.depth == ()
    assert evaluation.motion is not None
    assert any('no LiDAR is compared' in remark for remark in evaluation.remarks)
    with pytest.raises(BagError, match='do not connect'):
        run(model, bag, lidar=LidarTruth(topic='/points'))


def test_an_unusable_lidar_that_nobody_named_leaves_masks_to_compare(tmp_path):
    bag = write_lidar_bag(tmp_path / 'bag', 1, connected=False)
    topics = find_topics(EvaluationRequest(bag, Selection(), mask_topic='/image'))
    assert (topics.lidar, topics.masks) == (None, '/image')
    assert any('no LiDAR is compared' in remark for remark in topics.remarks)


def test_several_lidars_need_a_name(tmp_path, model):
    bag = write_lidar_bag(tmp_path / 'bag', lidars=('/a', '/b'))
    with pytest.raises(BagError, match='choose one with --lidar: /a, /b'):
        run(model, bag)
    assert run(model, bag, lidar=LidarTruth(topic='b')).truth == '/b'


def test_clouds_belong_to_frames_within_the_tolerance(tmp_path, model):
    bag = write_lidar_bag(tmp_path / 'bag', late_ns=40_000_000)
    assert run(model, bag).depth[0].images == 6
    evaluation = run(model, bag, lidar=LidarTruth(tolerance_s=0.03))
    assert evaluation.depth == ()
    assert any('No frame has true depth' in remark for remark in evaluation.remarks)


def test_the_right_camera_of_a_pair_may_carry_the_left_frame(tmp_path, model):
    bag = write_lidar_bag(tmp_path / 'bag', baseline_m=0.5)
    evaluation = run(model, bag, camera_info_topic='/camera_info')
    assert evaluation.depth[0].unscaled.abs_rel < 1e-3


def test_two_truths_are_refused():
    with pytest.raises(ConfigError, match='not both'):
        EvaluationRequest(Path('bag'), Selection(), depth_topic='/d',
                          lidar=LidarTruth(topic='/points'))


@pytest.mark.parametrize('settings', [{'in_camera': (1.0, 2.0)}, {'tolerance_s': -1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError, match='LiDAR'):
        LidarTruth(**settings)


def test_command_evaluates_street_by_the_kitti_protocol(tmp_path, capsys, model):
    out = tmp_path / 'report'
    assert main(['evaluate', '--bag', str(shared_bag('street')), '--model', str(model.path),
                 '--image', '/stereo/left/image_rect_color', '--protocol', 'kitti-eigen',
                 '--post-process', '--last', '2', '--out', str(out), '--json']) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures['truth'] == '/velodyne_points'
    assert figures['protocol'] == {'kind': 'kitti-eigen', 'crop': 'garg',
                                   'depth_range': {'min_m': 1e-3, 'max_m': 80.0}}
    assert figures['backend'].endswith('blended with the mirror image')
    model_scores, constant = figures['depth']
    assert len(model_scores['frames']) == model_scores['images'] == 2
    assert 'frames' not in constant
    assert model_scores['boundaries'] is None
    page = (out / 'index.html').read_text()
    assert 'points of the LiDAR' in page
    assert 'forward coordinate' in page
    assert 'Boundaries' not in page
