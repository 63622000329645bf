"""Evaluation with the scale sources of the node."""

import graphs
import numpy as np
import pytest
import recordings

from depth_ros.bags import (
    BagReader,
    BagWriter,
    Selection,
    find_depth_topic,
    read_depth,
    read_trajectory,
)
from depth_ros.cli.main import main
from depth_ros.errors import BagError
from depth_ros.evaluation.evaluate import evaluate
from depth_ros.evaluation.pages import to_json
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.messages import bag_messages
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.motion import se3
from depth_ros.motion.egomotion import OdometrySettings, TurnSource
from depth_ros.pipeline import DepthPipeline
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return recordings.write_recording(tmp_path_factory.mktemp('bags') / 'waves', 20)


@pytest.fixture(scope='module')
def doubled(tmp_path_factory):
    """A model without a unit that says twice the metres, in depth and motion."""
    spec = graphs.spec(scale=ScaleKind.UP_TO_SCALE)
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'double', spec,
                              graphs.depth_graph(spec, 0.04),
                              motion=(0.0, 0.0, 0.0, 0.0, 0.0, 0.2))


def run(model, bag, scale, **changes):
    request = EvaluationRequest(bag=bag, selection=Selection(), scale=scale,
                                odometry=OdometrySettings(refine=False), **changes)
    return evaluate(request, DepthPipeline.open(model), lambda done: None)


def test_a_fixed_factor_makes_metres(bag, doubled):
    evaluation = run(doubled, bag, ScaleSettings(ScaleSource.FIXED, factor=0.5))
    assert evaluation.depth[0].unscaled.abs_rel < 1e-3
    assert [position.alignment.value for position in evaluation.motion.model.positions] == [
        'SE(3)', 'scale', 'Sim(3)']
    assert evaluation.motion.model.positions[0].rmse < 1e-3


def test_odometry_finds_the_factor(bag, doubled):
    evaluation = run(doubled, bag, ScaleSettings(ScaleSource.ODOMETRY))
    scores = evaluation.depth[0]
    assert evaluation.scale.factor == pytest.approx(0.5, abs=1e-4)
    assert scores.unscaled.abs_rel < 1e-3
    assert scores.stability.median_ratio == pytest.approx(1.0, abs=1e-3)
    # Before three motions are measured there is no depth.
    assert scores.images < 20
    assert scores.coverage == pytest.approx(scores.images / 20)
    assert any('true path itself' in remark for remark in evaluation.remarks)
    assert not any('/tf_static' in remark for remark in evaluation.remarks)


def test_odometry_of_its_own_topic_is_no_circle(tmp_path, doubled):
    def slipping(index):
        pose, stamp = recordings.forward_pose(index), recordings.stamp_of(index)
        pose[:3, 3] *= 0.9
        return '/wheels', stamp, bag_messages.odometry(stamp, 'odom', 'camera', pose)

    bag = recordings.rewrite(tmp_path / 'bag', recordings.write_recording(tmp_path / 'first', 12),
                             odometry=map(slipping, range(12)))
    scale = ScaleSettings(ScaleSource.ODOMETRY)
    for named, ratio in (('/wheels', 1 / 0.9), ('wheels', 1 / 0.9), ('/truth', 1.0),
                         ('truth', 1.0), (None, 1.0)):
        evaluation = run(doubled, bag, scale, odometry_topic='truth', scale_odometry_topic=named)
        assert evaluation.depth[0].stability.median_ratio == pytest.approx(ratio, rel=1e-3)
        told = any('true path itself' in remark for remark in evaluation.remarks)
        assert told is (ratio == 1.0), named


def test_odometry_of_a_body_whose_place_is_not_known_is_told_of(tmp_path, capsys, doubled):
    def of_the_body(index):
        stamp = recordings.stamp_of(index)
        return '/wheels', stamp, bag_messages.odometry(
            stamp, 'odom', 'base_link', recordings.forward_pose(index))

    bag = recordings.rewrite(tmp_path / 'bag', recordings.write_recording(tmp_path / 'first', 12),
                             odometry=map(of_the_body, range(12)))
    told = "'base_link', which /tf_static does not connect with 'camera'"
    scale = ScaleSettings(ScaleSource.ODOMETRY)
    evaluation = run(doubled, bag, scale, odometry_topic='/truth', scale_odometry_topic='/wheels')
    assert any(told in remark for remark in evaluation.remarks)
    assert main(['process', str(bag), '--model', str(doubled.path), '--scale-source', 'odometry',
                 '--scale-odometry', '/wheels', '--out', str(tmp_path / 'out')]) == 0
    assert told in capsys.readouterr().err


def test_odometry_needs_odometry(tmp_path, doubled):
    bag = recordings.write_recording(tmp_path / 'bag', 3, odometry=False)
    with pytest.raises(BagError, match='--scale-odometry'):
        run(doubled, bag, ScaleSettings(ScaleSource.ODOMETRY))


def write_floor(folder, floor_m):
    """A bag whose every frame has that depth, and a model that answers a third of its metres."""
    spec = graphs.spec(scale=ScaleKind.UP_TO_SCALE)
    model = graphs.write_model(folder / 'third', spec,
                               graphs.flat_depth_graph(spec, floor_m / 3.0))
    bag = folder / 'bag'
    with BagWriter(bag) as writer:
        for index in range(4):
            stamp = recordings.stamp_of(index)
            rgb = np.repeat(recordings.grey_image(index)[..., None], 3, axis=2)
            for topic, kind, message in (
                ('/image', bag_messages.IMAGE,
                 bag_messages.image(stamp, 'camera', rgb, 'rgb8')),
                ('/camera_info', bag_messages.CAMERA_INFO,
                 bag_messages.camera_info(stamp, 'camera', recordings.CAMERA)),
                ('/depth/image', bag_messages.IMAGE,
                 bag_messages.image(stamp, 'camera', floor_m.astype(np.float32), '32FC1')),
            ):
                writer.write(topic, kind, stamp, message)
    return bag, model


def test_camera_height_scales_a_floor(tmp_path):
    """A level floor 1.2 m below the camera."""
    v = np.arange(48)[:, None] - recordings.CAMERA.cy
    floor_m = np.broadcast_to(np.where(v > 4, 1.2 * 50.0 / np.maximum(v, 4.0), 20.0), (48, 64))
    bag, model = write_floor(tmp_path, floor_m)
    settings = ScaleSettings(ScaleSource.CAMERA_HEIGHT, camera_height_m=1.2)
    evaluation = run(model, bag, settings)
    assert evaluation.scale.factor == pytest.approx(3.0, rel=0.02)
    assert evaluation.depth[0].unscaled.abs_rel < 0.02


def test_camera_pitch_finds_the_floor_of_a_camera_that_looks_down(tmp_path, capsys):
    pitch_rad = np.radians(20.0)
    slope = (np.arange(48) - recordings.CAMERA.cy) / 50.0 * np.cos(pitch_rad) + np.sin(pitch_rad)
    row_m = np.where(slope > 0.06, 1.2 / np.maximum(slope, 0.06), 20.0)
    floor_m = np.broadcast_to(row_m[:, None], (48, 64))
    bag, model = write_floor(tmp_path, floor_m)
    command = ['process', str(bag), '--model', str(model.path), '--scale-source', 'camera_height',
               '--camera-height', '1.2']
    for name, options in (('level', []), ('pitched', ['--camera-pitch', '20'])):
        assert main([*command, *options, '--out', str(tmp_path / name)]) == 0
    _, level_m = next(read_depth(tmp_path / 'level', '/depth/image'))
    _, pitched_m = next(read_depth(tmp_path / 'pitched', '/depth/image'))
    assert np.isnan(level_m).all()
    np.testing.assert_allclose(pitched_m, floor_m, rtol=0.02)
    assert main([*command, '--camera-pitch', '200', '--out', str(tmp_path / 'no')]) == 2
    assert '--camera-pitch is 200.0, allowed: -90 to 90' in capsys.readouterr().err


def test_a_scale_that_is_never_found_leaves_nothing_to_compare(bag, doubled):
    evaluation = run(doubled, bag, ScaleSettings(ScaleSource.CAMERA_HEIGHT))
    assert evaluation.depth == ()
    assert any('no ground plane seen yet' in remark for remark in evaluation.remarks)
    assert '"factor": null' in to_json(evaluation)


def test_process_takes_metres_from_odometry(tmp_path, bag, doubled):
    out = tmp_path / 'out'
    assert main(['process', str(bag), '--model', str(doubled.path), '--network-motion',
                 '--scale-source', 'odometry', '--out', str(out)]) == 0
    with BagReader(out) as reader:
        topic = find_depth_topic(reader)
    depths = list(read_depth(out, topic))
    assert np.isnan(depths[0][1]).all()
    np.testing.assert_allclose(depths[-1][1], recordings.true_depth(19), rtol=1e-3)


def test_process_refuses_odometry_without_a_bag(tmp_path, capsys, doubled):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'a.png').write_bytes(b'')
    assert main(['process', str(tmp_path / 'images'), '--model', str(doubled.path), '--hfov', '60',
                 '--scale-source', 'odometry', '--out', str(tmp_path / 'out')]) == 2
    assert '--scale-source odometry needs a bag' in capsys.readouterr().err


@pytest.mark.parametrize(('option', 'value', 'source'), [
    ('--scale-factor', '3.0', 'fixed'),
    ('--camera-height', '1.5', 'camera_height'),
    ('--camera-pitch', '20.0', 'camera_height'),
])
def test_options_of_another_scale_source_are_refused(tmp_path, capsys, bag, doubled, option,
                                                     value, source):
    out = tmp_path / 'out'
    for command, named in (
        (['process', str(bag), '--out', str(out)], 'is model'),
        (['process', str(bag), '--out', str(out), '--scale-source', 'none'], 'is none'),
        (['evaluate', '--bag', str(bag)], 'is not given'),
    ):
        assert main([*command, '--model', str(doubled.path), option, value]) == 2
        error = capsys.readouterr().err
        assert f'{option} {value} needs --scale-source {source}, but that {named}' in error
    assert not out.exists()


def test_an_odometry_that_nothing_asks_for_is_refused(tmp_path, capsys, bag, doubled):
    arguments = ['--model', str(doubled.path), '--scale-odometry', '/truth']
    for command in (['evaluate', '--bag', str(bag)],
                    ['process', str(bag), '--out', str(tmp_path / 'out')]):
        assert main([*command, *arguments]) == 2
        assert ('--scale-odometry /truth needs --scale-source odometry or --turn-source odometry'
                in capsys.readouterr().err)
    assert not (tmp_path / 'out').exists()


def test_turns_come_from_the_odometry_that_is_named(tmp_path, capsys, doubled):
    """The tiny network never turns; odometry does, by two degrees a frame."""
    def turning(index):
        pose, stamp = recordings.forward_pose(index), recordings.stamp_of(index)
        pose[:3, :3] = pose[:3, :3] @ se3.axis_angle_to_matrix(
            np.array([0.0, np.radians(2.0) * index, 0.0]))
        return '/gyro', stamp, bag_messages.odometry(stamp, 'odom', 'camera', pose)

    bag = recordings.rewrite(tmp_path / 'bag', recordings.write_recording(tmp_path / 'first', 12),
                             odometry=map(turning, range(12)))
    turns = OdometrySettings(refine=False, turns=TurnSource.ODOMETRY)
    turned = {}
    for topic in ('/gyro', '/truth', None):
        request = EvaluationRequest(bag=bag, selection=Selection(), odometry=turns,
                                    odometry_topic='/truth', scale_odometry_topic=topic)
        evaluation = evaluate(request, DepthPipeline.open(doubled), lambda done: None)
        turned[topic] = evaluation.motion.model.pair.rotation_rmse_deg
        told = any('Turns come from the true path' in remark for remark in evaluation.remarks)
        assert told is (topic != '/gyro')
        assert not any('Metres come from' in remark for remark in evaluation.remarks)
    step = evaluation.motion.pairing.step
    assert turned['/gyro'] == pytest.approx(2.0 * step, rel=1e-3)
    assert turned['/truth'] == turned[None] == pytest.approx(0.0, abs=1e-3)
    assert main(['process', str(bag), '--model', str(doubled.path), '--network-motion',
                 '--turn-source', 'odometry', '--scale-odometry', '/gyro',
                 '--scale-source', 'none', '--out', str(tmp_path / 'out')]) == 0
    path = read_trajectory(tmp_path / 'out', '/odom').world_T_cam
    angle = se3.rotation_angle(path[0, :3, :3].T @ path[-1, :3, :3])
    assert np.degrees(angle) == pytest.approx(2.0 * 11, abs=0.1)


def test_commands_smooth_the_scale(tmp_path, capsys, bag, doubled):
    """The waves of this bag are no rigid scene: each frame gets a factor for all of its pixels."""
    for command in ('evaluate', 'process'):
        arguments = [command, '--model', str(doubled.path), '--network-motion', '--scale-source',
                     'fixed', '--scale-factor', '0.5', '--out', str(tmp_path / command)]
        arguments += ['--bag', str(bag)] if command == 'evaluate' else [str(bag)]
        assert main([*arguments, '--scale-smoothing', '2']) == 0, capsys.readouterr().err
        out = capsys.readouterr().out
        assert command == 'process' or 'fixed factor 0.5, smoothed over 2 s' in out
        assert main([*arguments, '--scale-smoothing', '-1']) == 2
        assert 'scale_smoothing_s is -1.0, allowed: 0 to 10 seconds' in capsys.readouterr().err
    with BagReader(tmp_path / 'process') as reader:
        topic = find_depth_topic(reader)
    ratios = [depth_m / recordings.true_depth(index)
              for index, (_, depth_m) in enumerate(read_depth(tmp_path / 'process', topic))]
    factors = [float(np.median(ratio)) for ratio in ratios]
    for ratio, factor in zip(ratios, factors):
        np.testing.assert_allclose(ratio, factor, rtol=1e-3)
    assert factors[0] == pytest.approx(1.0, rel=1e-3)
    assert np.ptp(factors) > 0.01
