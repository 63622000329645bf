"""One camera's frames in order: depth in metres, odometry, scale, confidence."""

import dataclasses
import math

import cv2
import graphs
import numpy as np
import onnx
import pytest

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import CameraError, ConfigError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Fit, ScaleKind
from depth_ros.motion import se3
from depth_ros.motion.egomotion import OdometrySettings, Tracking, TurnSource
from depth_ros.pipeline import CameraTrack, DepthPipeline, Frame, OutputSize, TrackSettings, Wanted
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource

CAMERA = Intrinsics(100, 100, 63.5, 47.5, 128, 96)
STEP_NS = 50_000_000
EVERYTHING = Wanted(egomotion=True, confidence=True, image=True)
# The graphs of these tests answer motions that their pictures do not show.
AS_ANSWERED = OdometrySettings(refine=False)


def texture(shift=0.0, camera=CAMERA):
    """A picture with detail at every scale, moved to the left."""
    rng = np.random.default_rng(0)
    total = np.zeros((camera.height, camera.width + 64, 3), np.float32)
    for sigma in (2, 6, 16):
        layer = cv2.GaussianBlur(rng.normal(0, 1, total.shape), (0, 0), sigma)
        total += layer / layer.std()
    move = np.array([[1, 0, -shift], [0, 1, 0]], np.float32)
    moved = cv2.warpAffine(total, move, (camera.width, camera.height), flags=cv2.INTER_LINEAR)
    return np.clip(128 + 25 * moved, 0, 255).astype(np.uint8)


def frames(count, speed=3.0, start_ns=10**9, camera=CAMERA):
    return [
        Frame(start_ns + i * STEP_NS, texture(speed * i, camera), camera, 'camera')
        for i in range(count)
    ]


def make_track(folder, settings=None, motion=graphs.FORWARD, depth=None, **spec) -> CameraTrack:
    model_spec = graphs.spec(**spec)
    profile = None if depth is None else graphs.flat_depth_graph(model_spec, depth)
    model = graphs.write_model(folder, model_spec, profile, motion)
    return CameraTrack(
        DepthPipeline.open(model), settings or TrackSettings(odometry=AS_ANSWERED)
    )


def test_an_estimate_belongs_to_its_frame(tmp_path):
    track = make_track(tmp_path)
    for frame in frames(3):
        estimate = track.process(frame, EVERYTHING)
        assert (estimate.stamp_ns, estimate.frame_id) == (frame.stamp_ns, 'camera')
        assert estimate.depth_m.shape == (96, 128)
        assert estimate.intrinsics == CAMERA
        assert estimate.image is frame.image
        assert estimate.scale.valid
        assert estimate.timings_ms['total'] > 0


def test_estimates_keep_their_values(tmp_path):
    track = make_track(tmp_path)
    estimates, copies = [], []
    for frame in frames(6):
        estimate = track.process(frame, EVERYTHING)
        estimates.append(estimate)
        copies.append((estimate.depth_m.copy(), estimate.odometry.world_T_cam.copy()))
    for estimate, (depth, pose) in zip(estimates, copies):
        np.testing.assert_array_equal(estimate.depth_m, depth)
        np.testing.assert_array_equal(estimate.odometry.world_T_cam, pose)


@pytest.mark.parametrize('fit', list(Fit))
def test_network_and_camera_pixels_show_the_same(tmp_path, fit):
    wide = Intrinsics(100, 100, 99.5, 47.5, 200, 96)
    frame = Frame(0, texture(camera=wide), wide)
    at = {}
    for size in OutputSize:
        settings = TrackSettings(odometry=AS_ANSWERED, output_size=size)
        track = make_track(tmp_path / size.value, settings, fit=fit)
        at[size] = track.process(frame, EVERYTHING)
    camera, network = at[OutputSize.CAMERA], at[OutputSize.NETWORK]
    assert network.image.shape[:2] == network.depth_m.shape
    k = network.intrinsics
    assert network.depth_m.shape == (k.height, k.width)
    assert np.isfinite(network.depth_m).all()
    x, y = 0.1, -0.05  # one ray, seen on both grids
    u, v = round(wide.fx * x + wide.cx), round(wide.fy * y + wide.cy)
    u_net, v_net = round(k.fx * x + k.cx), round(k.fy * y + k.cy)
    assert camera.depth_m[v, u] == pytest.approx(network.depth_m[v_net, u_net], rel=0.1)
    np.testing.assert_allclose(camera.image[v, u], network.image[v_net, u_net], atol=25)


def test_a_network_of_half_size_depth(tmp_path):
    spec = graphs.spec(depth_width=32, depth_height=24)
    graph = graphs.flat_depth_graph(spec, np.full((24, 32), 3.0))
    pipeline = DepthPipeline.open(graphs.write_model(tmp_path, spec, graph))
    for size, shape in ((OutputSize.CAMERA, (96, 128)), (OutputSize.NETWORK, (24, 32))):
        track = CameraTrack(pipeline, TrackSettings(odometry=AS_ANSWERED, output_size=size))
        for frame in frames(2):
            estimate = track.process(frame, EVERYTHING)
        assert estimate.depth_m.shape == shape
        assert estimate.confidence.shape == shape
        assert estimate.image.shape[:2] == shape
        np.testing.assert_allclose(estimate.depth_m, 3.0)


def test_forward_motion_makes_a_straight_path(tmp_path):
    track = make_track(tmp_path)
    states = [track.process(frame).odometry for frame in frames(13)]
    assert states[0].tracking is Tracking.STARTED
    # The graph answers 0.1 for every pair: three keyframes, 0.2 s apart, lie behind the last.
    np.testing.assert_allclose(states[-1].world_T_cam[:3, 3], [0, 0, 0.3], atol=1e-6)
    assert states[-1].linear_velocity[2] == pytest.approx(0.5, rel=1e-3)


def brightness_pose_graph(spec, per_grey) -> onnx.ModelProto:
    """Ahead by `per_grey` for each grey level that current is brighter than previous."""
    helper = onnx.helper
    graph = graphs.pose_graph(spec)
    inner = graph.graph
    weights = np.zeros((6, 6), np.float32)
    weights[:3, 5], weights[3:, 5] = -per_grey / 3, per_grey / 3
    inner.initializer.append(onnx.numpy_helper.from_array(weights, 'weights'))
    del inner.node[-2:]
    inner.node.append(helper.make_node('MatMul', ['mean', 'weights'], ['motion']))
    return graph


@pytest.mark.parametrize('rate_hz', [5, 15, 20, 30])
def test_pictures_and_stamps_of_a_pair_belong_together(tmp_path, rate_hz):
    """The picture's brightness is the position, so a mixed-up keyframe would show in the path."""
    spec = graphs.spec()
    graphs.write_model(tmp_path, spec)
    onnx.save(brightness_pose_graph(spec, per_grey=0.015), tmp_path / 'pose.onnx')
    track = CameraTrack(
        DepthPipeline.open(Model.load(tmp_path)), TrackSettings(odometry=AS_ANSWERED)
    )
    detail = texture().astype(np.float32) - 128
    for index in range(60):
        level = 60 + 30 * index / rate_hz
        image = np.clip(level + 0.4 * np.roll(detail, 3 * index, axis=1), 0, 255)
        stamp_ns = round(index * 1e9 / rate_hz)
        shown = Frame(stamp_ns, image.astype(np.uint8), CAMERA)
        if index == 0:
            start = shown.image.mean()
        if shown.image.max() == 255:
            break
        estimate = track.process(shown)
        expected = 0.015 * (shown.image.mean() - start)
        assert estimate.odometry.world_T_cam[2, 3] == pytest.approx(expected, abs=0.006)
    assert index > 10


def test_cameras_asked_together_get_what_each_gets_alone(tmp_path):
    spec = graphs.spec()
    graphs.write_model(tmp_path, spec)
    onnx.save(brightness_pose_graph(spec, per_grey=0.015), tmp_path / 'pose.onnx')
    pipeline = DepthPipeline.open(Model.load(tmp_path))
    large = Intrinsics(90, 90, 99.5, 59.5, 200, 120)
    cameras = [CAMERA, large, Intrinsics(60, 60, 40, 30, 80, 60)]
    settings = TrackSettings(odometry=AS_ANSWERED)
    alone, together = ([CameraTrack(pipeline, settings) for _ in cameras] for _ in range(2))
    for index in range(12):
        shown = [
            Frame(10**9 + index * STEP_NS, texture(3.0 * index, k) // 2 + (2 + n) * index, k)
            for n, k in enumerate(cameras)
        ]
        # One of them sees nothing that it did not see before: the pose network is asked by two.
        shown[1] = dataclasses.replace(shown[1], image=texture(0.0, cameras[1]))
        expected = [track.process(f, EVERYTHING) for track, f in zip(alone, shown)]
        begun = [track.begin(f, EVERYTHING) for track, f in zip(together, shown)]
        answers = pipeline.ask([b.question for b in begun])
        seen = [track.see(b, a) for track, b, a in zip(together, begun, answers)]
        motions = pipeline.motions([b.question for b in begun])
        for track, one, motion, other in zip(together, seen, motions, expected):
            estimate = track.follow(one, motion)
            np.testing.assert_allclose(estimate.depth_m, other.depth_m, rtol=1e-6)
            np.testing.assert_allclose(
                estimate.odometry.world_T_cam, other.odometry.world_T_cam, atol=1e-6
            )
            assert estimate.odometry.tracking is other.odometry.tracking
    ways = [e.odometry.world_T_cam[2, 3] for e in expected]
    assert ways[0] > 0.2
    assert ways[1] == 0.0
    assert ways[2] > 1.5 * ways[0]


def test_nothing_unwanted_is_computed(tmp_path):
    track = make_track(tmp_path)
    for frame in frames(3):
        estimate = track.process(frame, Wanted(egomotion=False))
    assert estimate.motion is None
    assert estimate.odometry is None
    assert estimate.confidence is None
    assert estimate.image is None
    begun = track.begin(frames(4)[-1], Wanted(egomotion=False))
    assert begun.question.previous is None


def test_a_model_without_pose_gives_depth(tmp_path):
    model = graphs.write_model(tmp_path, graphs.spec(motion=None))
    track = CameraTrack(DepthPipeline.open(model), TrackSettings(odometry=AS_ANSWERED))
    estimate = [track.process(frame, EVERYTHING) for frame in frames(2)][-1]
    assert np.isfinite(estimate.depth_m).all()
    assert estimate.odometry is None
    assert estimate.confidence is None


def test_standing_still(tmp_path):
    track = make_track(tmp_path)
    for frame in frames(20, speed=0.0):
        estimate = track.process(frame)
    assert estimate.odometry.tracking is Tracking.STILL
    np.testing.assert_array_equal(estimate.odometry.world_T_cam, np.eye(4))
    np.testing.assert_array_equal(estimate.motion.previous_T_current, np.eye(4))


def test_a_covered_lens_is_lost_and_recovers(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(30)
    for index, frame in enumerate(sequence):
        if 8 <= index < 20:
            frame = dataclasses.replace(frame, image=np.full_like(frame.image, 3))
        state = track.process(frame).odometry
        if 8 <= index <= 20:
            assert state.tracking is Tracking.LOST
            assert np.diag(state.covariance).min() > 1
    assert state.tracking is Tracking.MOVING
    assert state.covariance[0, 0] > 1e3


def test_time_going_back_starts_a_new_world(tmp_path):
    track = make_track(tmp_path)
    for frame in frames(10):
        track.process(frame)
    state = track.process(frames(1)[0]).odometry
    assert state.resets == 1
    assert 'time went back' in state.reset_reason
    np.testing.assert_array_equal(state.world_T_cam, np.eye(4))


def later(frame, seconds):
    return dataclasses.replace(frame, stamp_ns=frame.stamp_ns + round(seconds * 1e9))


def test_a_pause_between_frames_goes_on_where_the_path_was(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(30)
    before = [track.process(frame) for frame in sequence[:10]][-1].odometry
    first, *rest = [track.process(later(f, 2.0)) for f in sequence[15:]]
    resumed = first.odometry
    assert resumed.text == (
        'lost; uncertain since the path was torn 1 times, last: no frame was followed for 2.3 s'
    )
    np.testing.assert_array_equal(resumed.world_T_cam, before.world_T_cam)
    assert first.motion is None
    last = rest[-1].odometry
    assert (last.tracking, last.resets) == (Tracking.MOVING, 0)
    assert last.world_T_cam[2, 3] > before.world_T_cam[2, 3] + 0.1
    assert min(e.odometry.covariance[0, 0] for e in [first, *rest]) > 1e3


def test_a_pause_of_a_camera_that_stands_costs_nothing(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(10)
    before = [track.process(frame) for frame in sequence][-1].odometry
    keyframe = track.process(later(sequence[-1], 0.15)).odometry  # of the same picture
    state = track.process(later(sequence[-1], 60.0)).odometry
    assert (state.tracking, state.gaps, state.resets) == (Tracking.STILL, 0, 0)
    np.testing.assert_array_equal(state.world_T_cam, keyframe.world_T_cam)
    assert state.covariance[0, 0] < 2 * before.covariance[0, 0] + 1e-3


def test_frames_of_which_no_motion_was_wanted_are_the_reason_of_a_gap(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(60)
    for frame in sequence[:10]:
        track.process(frame)
    for frame in sequence[10:40]:
        track.process(frame, Wanted(egomotion=False))
    state = track.process(sequence[40]).odometry
    assert (state.resets, state.gaps) == (0, 1)
    assert state.gap_reason == 'nobody asked for odometry for 1.6 s'


def test_another_camera_starts_a_new_world(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(6)
    for frame in sequence[:5]:
        track.process(frame)
    other = dataclasses.replace(sequence[5], intrinsics=dataclasses.replace(CAMERA, fx=90.0))
    state = track.process(other).odometry
    assert (state.resets, state.reset_reason) == (1, 'the camera changed')


def test_reset_by_the_caller(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(3)
    track.process(sequence[0])
    track.process(sequence[1])
    track.reset('the user asked')
    state = track.process(sequence[2]).odometry
    assert (state.resets, state.reset_reason) == (1, 'the user asked')


def test_resets_are_counted_on_by_the_track_of_another_model(tmp_path):
    first, second = make_track(tmp_path / 'first'), make_track(tmp_path / 'second')
    sequence = frames(4)
    first.process(sequence[0])
    first.reset('the user asked')
    first.process(sequence[1])
    second.succeed(first, 'another model')
    state = second.process(sequence[2]).odometry
    assert (state.resets, state.reset_reason) == (2, 'another model')
    without = CameraTrack(
        DepthPipeline.open(graphs.write_model(tmp_path / 'without', graphs.spec(motion=None)))
    )
    without.succeed(second, 'a model without motion')
    third = make_track(tmp_path / 'third')
    third.succeed(without, 'another model again')
    state = third.process(sequence[3]).odometry
    assert (state.resets, state.reset_reason) == (3, 'another model again')


def test_a_fixed_factor_scales_depth_and_path(tmp_path):
    scale = ScaleSettings(source=ScaleSource.FIXED, factor=5.0)
    fixed = TrackSettings(odometry=AS_ANSWERED, scale=scale)
    plain, scaled = make_track(tmp_path / 'a'), make_track(tmp_path / 'b', fixed)
    for frame in frames(6):
        one, five = plain.process(frame), scaled.process(frame)
        np.testing.assert_allclose(five.depth_m, 5 * one.depth_m, rtol=1e-6)
        np.testing.assert_allclose(
            five.odometry.world_T_cam[:3, 3], 5 * one.odometry.world_T_cam[:3, 3]
        )


def test_an_up_to_scale_model_is_refused_metres(tmp_path):
    with pytest.raises(ConfigError, match='up to scale only'):
        make_track(tmp_path, scale=ScaleKind.UP_TO_SCALE, scale_source='none')


def test_no_scale_is_no_depth_until_odometry_tells_it(tmp_path):
    scale = ScaleSettings(source=ScaleSource.ODOMETRY)
    settings = TrackSettings(odometry=AS_ANSWERED, scale=scale)
    track = make_track(
        tmp_path, settings, depth=np.full((48, 64), 2.0), scale=ScaleKind.UP_TO_SCALE
    )
    estimates = []
    for frame in frames(40):
        # Three metres to one unit: 0.1 units in 0.2 s are 1.5 m/s.
        seconds = (frame.stamp_ns - 10**9) / 1e9
        track.add_odometry(frame.stamp_ns, se3.rigid(np.eye(3), np.array([0, 0, 1.5 * seconds])))
        estimates.append(track.process(frame))
    first, last = estimates[2], estimates[-1]
    assert not first.scale.valid
    assert np.isnan(first.depth_m).all()
    assert first.odometry is None
    assert first.motion is None
    assert last.scale.factor == pytest.approx(3.0, rel=1e-3)
    np.testing.assert_allclose(last.depth_m, 6.0, rtol=1e-3)
    found = next(e for e in estimates if e.odometry is not None)
    np.testing.assert_array_equal(found.odometry.world_T_cam, np.eye(4))
    assert found.odometry.reset_reason == 'the scale was found'


def test_turns_are_those_of_odometry_as_far_as_it_reaches(tmp_path):
    turns = OdometrySettings(refine=False, turns=TurnSource.ODOMETRY)
    track = make_track(tmp_path, TrackSettings(odometry=turns))
    about, turned = np.array([0.02, -0.3, 0.01]), []
    for index, frame in enumerate(frames(20)):
        seconds = (frame.stamp_ns - 10**9) / 1e9
        rotation = se3.axis_angle_to_matrix(about * seconds)
        if index < 8:
            track.add_odometry(frame.stamp_ns, se3.rigid(rotation, np.zeros(3)))
        turned.append(track.process(frame).odometry.world_T_cam[:3, :3])
        if index < 8:
            np.testing.assert_allclose(turned[-1], rotation, atol=1e-9)
    # The network's own motions do not turn.
    assert se3.rotation_angle(turned[-1]) > 0.02
    np.testing.assert_allclose(turned[-6:], np.broadcast_to(turned[-1], (6, 3, 3)), atol=1e-9)


def test_camera_height_tells_the_scale(tmp_path):
    camera = graphs.training_camera(50.0)
    rays = camera.rays()
    with np.errstate(divide='ignore'):
        floor = np.where(rays[..., 1] > 0, 0.5 / rays[..., 1], 40.0).clip(max=40.0)
    height = ScaleSettings(source=ScaleSource.CAMERA_HEIGHT, camera_height_m=1.5)
    track = make_track(tmp_path, TrackSettings(odometry=AS_ANSWERED, scale=height), depth=floor)
    estimate = track.process(frames(1)[0])
    assert estimate.scale.factor == pytest.approx(3.0, rel=0.01)
    assert np.isfinite(estimate.depth_m).all()


def test_confidence_masks_depth(tmp_path):
    settings = TrackSettings(odometry=AS_ANSWERED, min_confidence=0.3)
    track = make_track(tmp_path, settings, depth=np.full((48, 64), 2.0))
    estimates = [track.process(frame, EVERYTHING) for frame in frames(3)]
    assert np.isfinite(estimates[0].depth_m).all()
    last = estimates[-1]
    np.testing.assert_array_equal(np.isfinite(last.depth_m), last.confidence >= 0.3)
    assert 0 < np.isfinite(last.depth_m).mean() < 1


def test_confidence_holds_while_the_camera_stands(tmp_path):
    track = make_track(tmp_path)
    moving = frames(30)
    still = [Frame(moving[-1].stamp_ns + (1 + i) * STEP_NS, moving[-1].image, CAMERA, 'camera')
             for i in range(30)]
    walked = [track.process(frame, EVERYTHING) for frame in moving]
    stood = [track.process(frame, EVERYTHING) for frame in still]
    assert all(estimate.confidence is not None for estimate in walked[1:] + stood)
    # The same picture agrees with any depth, and would be near 1 everywhere.
    held = stood[-1].confidence
    assert any(np.array_equal(held, e.confidence, equal_nan=True) for e in walked[1:] + stood[:1])
    assert np.nanmedian(held) < 0.9


def test_a_camera_that_never_moved_has_no_confidence(tmp_path):
    track = make_track(tmp_path, TrackSettings(odometry=AS_ANSWERED, min_confidence=0.5))
    picture = frames(1)[0].image
    for index in range(5):
        frame = Frame(10**9 + index * STEP_NS, picture, CAMERA, 'camera')
        estimate = track.process(frame, EVERYTHING)
    assert estimate.confidence is None
    assert np.isfinite(estimate.depth_m).all()


def test_other_settings_keep_the_path(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(12)
    before = [track.process(frame) for frame in sequence[:9]][-1]
    track.change_settings(TrackSettings(odometry=AS_ANSWERED, output_size=OutputSize.NETWORK))
    after = track.process(sequence[9])
    assert before.depth_m.shape == (96, 128)
    assert after.depth_m.shape == (48, 64)
    assert after.odometry.resets == 0
    assert after.odometry.world_T_cam[2, 3] > 0.1


def test_another_scale_starts_a_new_world(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(3)
    plain = [track.process(frame) for frame in sequence[:2]][-1]
    fixed = ScaleSettings(source=ScaleSource.FIXED, factor=2.0)
    track.change_settings(TrackSettings(odometry=AS_ANSWERED, scale=fixed))
    scaled = track.process(sequence[2])
    assert scaled.odometry.reset_reason == 'the scale settings changed'
    assert scaled.depth_m.mean() == pytest.approx(2 * plain.depth_m.mean(), rel=0.05)


def test_refused_settings_change_nothing(tmp_path):
    none = TrackSettings(odometry=AS_ANSWERED, scale=ScaleSettings(source=ScaleSource.NONE))
    track = make_track(tmp_path, none, scale=ScaleKind.UP_TO_SCALE)
    track.process(frames(1)[0])
    with pytest.raises(ConfigError, match='up to scale only'):
        track.change_settings(TrackSettings(odometry=AS_ANSWERED))
    estimate = track.process(frames(2)[1])
    assert estimate.scale.source is ScaleSource.NONE
    assert estimate.odometry.resets == 0


@pytest.mark.parametrize(('name', 'values'), [
    ('min_confidence', (-0.1, 1.1, math.nan)), ('scale_smoothing_s', (-0.1, 10.1, math.nan)),
])  # fmt: skip
def test_impossible_settings(name, values):
    for value in values:
        with pytest.raises(ConfigError, match=name):
            TrackSettings(odometry=AS_ANSWERED, **{name: value})


SMOOTHED = TrackSettings(odometry=AS_ANSWERED, scale_smoothing_s=10.0)


def flickering(track, sequence, factors):
    """What a track makes of frames in which the network errs by these factors."""
    for frame, factor in zip(sequence, factors):
        seen = track.see(*begun_and_answered(track, frame, factor))
        (motion,) = track.pipeline.motions([seen.begun.question])
        yield track.follow(seen, motion)


def begun_and_answered(track, frame, factor):
    begun = track.begin(frame)
    (answer,) = track.pipeline.ask([begun.question])
    return begun, dataclasses.replace(answer, depth=answer.depth * np.float32(factor))


def test_depth_and_motion_have_the_mean_scale_where_it_is_smoothed(tmp_path):
    factors = np.exp(np.random.default_rng(1).normal(0.0, 0.2, 40))
    ahead = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.01])
    depth = np.full((48, 64), 2.0)
    raw, smoothed = (
        list(flickering(make_track(tmp_path / name, settings, ahead, depth), frames(40), factors))
        for name, settings in (('raw', None), ('smoothed', SMOOTHED))
    )
    units = np.array([s.depth_m.mean() / r.depth_m.mean() for r, s in zip(raw, smoothed)])
    left = np.log(units * factors)
    assert np.log(factors).std() > 0.15
    assert left[20:].std() < 0.05
    assert abs(left[20:].mean() - np.log(factors).mean()) < 0.1
    lengths = [np.linalg.norm(e.motion.previous_T_current[:3, 3]) for e in smoothed[1:]]
    np.testing.assert_allclose(lengths, 0.01 * units[1:], rtol=1e-4)
    assert smoothed[-1].odometry.world_T_cam[2, 3] != raw[-1].odometry.world_T_cam[2, 3]
    assert smoothed[-1].scale.text.endswith(', smoothed over 10 s')


def test_a_frame_that_cannot_be_placed_has_the_scale_of_its_keyframe(tmp_path):
    track = make_track(tmp_path, SMOOTHED, np.zeros(6), np.full((48, 64), 2.0))
    sequence = frames(4)
    black = dataclasses.replace(sequence[2], image=np.zeros_like(sequence[2].image))
    answers = list(flickering(track, [*sequence[:2], black, sequence[3]], (1.0, 1.5, 1.5, 1.5)))
    assert answers[2].odometry.tracking is Tracking.LOST
    # The first frame is the keyframe of the others, of which each counts half beside it.
    mean = 2.0 * math.sqrt(1.5)
    means = [answer.depth_m.mean() for answer in answers]
    assert means == pytest.approx([2.0, mean, 2.0 * 1.5, mean], rel=1e-3)


def test_where_the_camera_stands_the_first_frame_is_forgotten(tmp_path):
    settings = TrackSettings(odometry=AS_ANSWERED, scale_smoothing_s=1.0)
    track = make_track(tmp_path, settings, np.zeros(6), np.full((48, 64), 2.0))
    picture = frames(1)[0].image
    standing = [Frame(10**9 + i * STEP_NS, picture, CAMERA, 'camera') for i in range(101)]
    answers = list(flickering(track, standing, [1.0] + [1.3] * 100))
    assert answers[-1].odometry.tracking is Tracking.STILL
    assert answers[1].depth_m.mean() == pytest.approx(2.0 * math.sqrt(1.3), rel=1e-3)
    assert answers[20].depth_m.mean() == pytest.approx(2.0 * 1.3 ** (20 / 21), rel=1e-2)
    assert answers[-1].depth_m.mean() == pytest.approx(2.0 * 1.3, rel=1e-2)


def test_a_motion_that_cannot_be_leaves_the_scale_of_the_keyframe(tmp_path):
    track = make_track(tmp_path, SMOOTHED, np.zeros(6), np.full((48, 64), 2.0))
    sequence = frames(3)
    assert len(list(flickering(track, sequence[:2], (1.0, 1.5)))) == 2
    seen = track.see(*begun_and_answered(track, sequence[2], 1.5))
    estimate = track.follow(seen, np.array([0.0, 0.0, 0.0, 0.0, 0.0, 50.0]))
    assert estimate.odometry.tracking is Tracking.LOST
    assert estimate.depth_m.mean() == pytest.approx(2.0 * 1.5, rel=1e-3)


def test_after_a_gap_depth_keeps_its_scale(tmp_path):
    track = make_track(tmp_path, SMOOTHED, np.zeros(6), np.full((48, 64), 2.0))
    sequence = frames(10)
    late = dataclasses.replace(sequence[9], stamp_ns=sequence[8].stamp_ns + 20 * 10**9)
    answers = list(flickering(track, [*sequence[:9], late], [1.0] + [1.5] * 9))
    assert answers[-1].odometry.gaps == 1
    before, after = (answer.depth_m.mean() for answer in answers[-2:])
    assert 2.0 < after < 2.9
    assert after == pytest.approx(before, rel=0.15)


def test_metres_by_height_are_of_smoothed_depth(tmp_path):
    """The floor stays where it is, whatever smoothing makes of depth."""
    rows = np.arange(48)[:, None] * np.ones((1, 64))
    floor = np.where(rows > 26, 37.0 / np.maximum(rows - 23.5, 1.0), 30.0)
    height = ScaleSettings(source=ScaleSource.CAMERA_HEIGHT, camera_height_m=1.5)
    found = {}
    for seconds in (0.0, 10.0):
        settings = TrackSettings(
            odometry=AS_ANSWERED, scale=height, scale_smoothing_s=seconds
        )
        track = make_track(tmp_path / str(seconds), settings, np.zeros(6), floor)
        factors = [1.0] * 30 + [1.3] * 30
        *_, last = flickering(track, frames(60), factors)
        found[seconds] = last.depth_m[-1].mean()
    assert found[10.0] == pytest.approx(found[0.0], rel=0.05)


def test_to_begin_or_end_smoothing_starts_a_new_world(tmp_path):
    track = make_track(tmp_path)
    sequence = frames(4)
    assert track.process(sequence[0]).odometry.resets == 0
    track.change_settings(SMOOTHED)
    assert track.process(sequence[1]).odometry.reset_reason == 'the scale settings changed'
    track.change_settings(dataclasses.replace(SMOOTHED, scale_smoothing_s=1.0))
    assert track.process(sequence[2]).odometry.resets == 1
    track.change_settings(TrackSettings(odometry=AS_ANSWERED))
    assert track.process(sequence[3]).odometry.resets == 2


@pytest.mark.parametrize(('confidence', 'told'), [(0.0, True), (0.5, False)])
def test_depth_whose_motion_cannot_be_found_is_told_unless_it_is_to_be_judged(
    tmp_path, confidence, told
):
    settings = dataclasses.replace(SMOOTHED, min_confidence=confidence)
    track = make_track(tmp_path, settings, np.zeros(6), np.full((48, 64), 2.0))
    assert len(list(flickering(track, frames(1), (1.0,)))) == 1
    seen = track.see(*begun_and_answered(track, frames(2)[1], 1.5))
    estimate = track.without_motion(seen)
    assert (estimate is not None) == told
    if told:
        assert estimate.depth_m.mean() == pytest.approx(3.0, rel=1e-3)


def test_smoothed_depth_is_blanked_where_it_is_not_believed(tmp_path):
    settings = dataclasses.replace(SMOOTHED, min_confidence=0.3)
    track = make_track(tmp_path, settings, depth=np.full((48, 64), 2.0))
    for frame in frames(3):
        last = track.process(frame, EVERYTHING)
    np.testing.assert_array_equal(np.isfinite(last.depth_m), last.confidence >= 0.3)
    assert 0 < np.isfinite(last.depth_m).mean() < 1


def test_smoothed_depth_waits_for_its_motion_also_where_nobody_wants_that(tmp_path):
    track = make_track(tmp_path, SMOOTHED, np.zeros(6), np.full((48, 64), 2.0))
    for frame in frames(2):
        begun = track.begin(frame, Wanted(egomotion=False))
        (answer,) = track.pipeline.ask([begun.question])
        seen = track.see(begun, answer)
        assert not seen.is_final
        (motion,) = track.pipeline.motions([begun.question])
        estimate = track.follow(seen, motion)
        assert (estimate.motion, estimate.odometry) == (None, None)
    assert motion is not None


def test_a_model_without_motion_cannot_be_smoothed(tmp_path):
    without = DepthPipeline.open(graphs.write_model(tmp_path, graphs.spec(motion=None)))
    message = r"over 10 s needs a pose network, which model '.*' does not have; allowed: 0"
    with pytest.raises(ConfigError, match=message):
        CameraTrack(without, SMOOTHED)
    track = CameraTrack(without)
    with pytest.raises(ConfigError, match=message):
        track.change_settings(SMOOTHED)
    assert np.isfinite(track.process(frames(1)[0]).depth_m).all()


@pytest.mark.parametrize('size', list(OutputSize))
def test_depth_is_written_where_it_shall_be(tmp_path, size):
    settings = TrackSettings(output_size=size, odometry=AS_ANSWERED)
    track = make_track(tmp_path, settings)
    (frame,) = frames(1)
    expected = track.process(frame).depth_m
    given = []

    def depth_out(height, width):
        given.append(np.full((height, width), -1.0, np.float32))
        return given[-1]

    begun = track.begin(frame)
    (answer,) = track.pipeline.ask([begun.question])
    seen = track.see(begun, answer, depth_out)
    assert seen.estimate.depth_m is given[0]
    (motion,) = track.pipeline.motions([begun.question])
    estimate = track.follow(seen, motion)
    assert estimate.depth_m is given[0]
    np.testing.assert_array_equal(estimate.depth_m, expected)


def border(camera=CAMERA) -> np.ndarray:
    """All seen but a frame whose width no network pixel divides."""
    seen = np.zeros((camera.height, camera.width), bool)
    seen[7:-7, 9:-9] = True
    return seen


@pytest.mark.parametrize('size', list(OutputSize))
def test_what_the_camera_never_saw_has_no_depth_and_no_confidence(tmp_path, size):
    seen = border()
    settings = TrackSettings(odometry=AS_ANSWERED, output_size=size)
    whole, part = (make_track(tmp_path / name, settings) for name in ('whole', 'part'))
    for frame in frames(8):
        frame = dataclasses.replace(frame, image=frame.image * seen[..., None])
        all_of_it = whole.process(frame, EVERYTHING)
        estimate = part.process(dataclasses.replace(frame, seen=seen), EVERYTHING)
    if size is OutputSize.CAMERA:
        expected = seen
    else:  # network pixels, of 2 x 2 of the camera, all of which were seen
        expected = seen.reshape(48, 2, 64, 2).all(axis=(1, 3))
    np.testing.assert_array_equal(np.isfinite(estimate.depth_m), expected)
    np.testing.assert_array_equal(estimate.depth_m[expected], all_of_it.depth_m[expected])
    assert np.isnan(estimate.confidence[~expected]).all()
    assert np.isfinite(estimate.confidence).sum() > 0.5 * expected.sum()
    assert part.process(dataclasses.replace(frame, seen=seen.copy())).odometry.resets == (
        estimate.odometry.resets
    )


def test_the_ground_is_what_the_camera_saw(tmp_path):
    """A phantom plane in the border is no ground."""
    camera = Intrinsics(50, 50, 31.5, 23.5, graphs.WIDTH, graphs.HEIGHT)
    down = camera.rays()[..., 1]
    with np.errstate(divide='ignore'):
        ground = np.where(down > 0.05, 1.0 / down, 20.0)
    seen = np.ones(ground.shape, bool)
    seen[24:, :40] = False
    ground[~seen] *= 3.0
    height = ScaleSettings(ScaleSource.CAMERA_HEIGHT, camera_height_m=2.0)
    settings = TrackSettings(odometry=AS_ANSWERED, scale=height)
    picture = texture(camera=camera)
    factors = []
    for name, mask in (('part', seen), ('whole', None)):
        track = make_track(tmp_path / name, settings, depth=ground)
        for index in range(12):
            estimate = track.process(Frame(index * STEP_NS, picture, camera, seen=mask))
        factors.append(estimate.scale.factor if estimate.scale.valid else math.nan)
    assert factors[0] == pytest.approx(2.0, rel=0.02)
    assert factors[1] != pytest.approx(2.0, rel=0.02)


def test_a_mask_of_another_size_is_refused(tmp_path):
    frame = dataclasses.replace(frames(1)[0], seen=np.ones((48, 64), bool))
    with pytest.raises(CameraError, match=r'\(48, 64\).*\(96, 128\)'):
        make_track(tmp_path).process(frame)
