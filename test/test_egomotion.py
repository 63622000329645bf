"""Keyframe odometry: paths, covariance, resets, and the way into body axes."""

import dataclasses

import graphs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from depth_ros.motion import se3
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM, body_odometry
from depth_ros.motion.egomotion import OdometryState, OdometryTracker, Reference, Tracking

SPEC = graphs.spec().motion  # an interval of 0.2 s, 0.1 units and 0.05 rad
STEP_NS = 50_000_000
TURNING = np.array([0.0, 0.04, 0.0, 0.01, 0.0, 0.08])
"""Motion of one interval: ahead, and to the right."""


def follow(world_T_cam, tracker=None, scale=1.0):
    """Feed a path with the exact motions from whatever it is to be compared with."""
    tracker = tracker or OdometryTracker(SPEC)
    states = [tracker.start(0, 'first frame')]
    for index in range(1, len(world_T_cam)):
        reference = tracker.reference(index * STEP_NS)
        previous = world_T_cam[tracker.stamp_of(reference) // STEP_NS]
        motion = se3.matrix_to_motion(se3.inverse(previous) @ world_T_cam[index])
        states.append(tracker.update(index * STEP_NS, motion, scale, reference))
    return states


def path(frames, motion_per_frame):
    step = se3.motion_to_matrix(motion_per_frame)
    poses = [np.eye(4)]
    for _ in range(frames - 1):
        poses.append(poses[-1] @ step)
    return poses


@given(npst.arrays(np.float64, 6, elements=st.floats(-0.02, 0.02)))
def test_exact_motions_give_the_exact_path(motion):
    poses = path(40, motion)
    for state, pose in zip(follow(poses), poses):
        np.testing.assert_allclose(state.world_T_cam, pose, atol=1e-9)


def test_constant_forward_motion_is_a_straight_line():
    states = follow(path(60, np.array([0, 0, 0, 0, 0, 0.02])))
    positions = np.array([state.world_T_cam[:3, 3] for state in states])
    np.testing.assert_allclose(positions[:, 2], 0.02 * np.arange(60), atol=1e-12)
    np.testing.assert_allclose(positions[:, :2], 0, atol=1e-12)


def test_scale_multiplies_the_path_only():
    poses = path(40, TURNING / 4)
    for plain, scaled in zip(follow(poses), follow(poses, scale=3.0)):
        np.testing.assert_allclose(scaled.world_T_cam[:3, 3], 3 * plain.world_T_cam[:3, 3])
        np.testing.assert_allclose(scaled.world_T_cam[:3, :3], plain.world_T_cam[:3, :3])


def test_keyframes_come_at_the_interval_of_training():
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    advanced = []
    for index in range(1, 13):
        tracker.update(index * STEP_NS, TURNING / 10, 1.0)
        advanced.append(tracker.advanced)
    assert advanced == [False, False, False, True] * 3


def test_pairs_are_never_much_closer_than_in_training():
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    step_ns = 33_000_000  # 30 Hz
    intervals = []
    for index in range(1, 60):
        reference = tracker.reference(index * step_ns)
        elapsed_s = (index * step_ns - tracker.stamp_of(reference)) / 1e9
        intervals.append(elapsed_s / SPEC.interval_s)
        tracker.update(index * step_ns, elapsed_s * TURNING, 1.0, reference)
    assert min(intervals[3:]) >= 0.5
    assert max(intervals) <= 1.6


def test_the_earlier_keyframe_is_forgotten():
    for forget in ('hold', 'lose', 'start'):
        tracker = OdometryTracker(SPEC)
        follow(path(6, TURNING / 4), tracker)
        assert tracker.reference(6 * STEP_NS - 1) is Reference.EARLIER_KEYFRAME
        if forget == 'hold':
            tracker.hold(6 * STEP_NS)
        elif forget == 'lose':
            tracker.lose(6 * STEP_NS, at_once=True)
        else:
            tracker.start(6 * STEP_NS, 'again')
        assert tracker.reference(6 * STEP_NS + 1) is Reference.KEYFRAME


def test_a_large_motion_advances_the_keyframe_early():
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    tracker.update(STEP_NS, np.array([0, 0, 0, 0, 0, 0.16]), 1.0)
    assert tracker.advanced


def test_velocity_is_along_the_axes_of_the_current_camera():
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    state = tracker.update(100_000_000, np.array([0, 0.3, 0, 0.1, 0, 0]), 2.0)
    expected = se3.axis_angle_to_matrix(np.array([0, -0.3, 0])) @ [2.0, 0, 0]
    np.testing.assert_allclose(state.linear_velocity, expected, atol=1e-12)
    np.testing.assert_allclose(state.angular_velocity, [0, 3.0, 0], atol=1e-12)


def test_covariance_grows_and_is_never_singular():
    states = follow(path(200, TURNING / 4))
    traces = np.array([np.trace(state.covariance) for state in states])
    keyframes = traces[::4]
    assert (np.diff(keyframes) > 0).all()
    assert all(np.linalg.eigvalsh(state.covariance).min() > 0 for state in states)


def test_covariance_is_that_of_many_noisy_runs():
    """The first-order propagation against a Monte Carlo of the same chain."""
    rng = np.random.default_rng(0)
    steps, runs = 25, 400
    length = np.linalg.norm(TURNING[3:])
    sigma_t = SPEC.sigma_translation * np.hypot(length, 0.1 * SPEC.translation)
    ends = []
    for _ in range(runs):
        pose = np.eye(4)
        for _ in range(steps):
            noise = se3.rigid(
                se3.axis_angle_to_matrix(rng.normal(0, SPEC.sigma_rotation_rad, 3)),
                rng.normal(0, sigma_t, 3),
            )
            step = se3.motion_to_matrix(TURNING)
            pose = pose @ se3.rigid(
                step[:3, :3] @ noise[:3, :3], step[:3, 3] + noise[:3, 3]
            )
        ends.append(pose[:3, 3])
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    for index in range(1, steps + 1):
        state = tracker.update(index * 4 * STEP_NS, TURNING, 1.0)
    measured = np.sqrt(np.diag(np.cov(np.array(ends).T)))
    np.testing.assert_allclose(np.sqrt(np.diag(state.covariance))[:3], measured, rtol=0.25)


@pytest.mark.parametrize(
    'motion',
    [np.full(6, np.nan), np.array([0, 0, 0, 0, 0, 5.0]), np.array([0, 2.0, 0, 0, 0, 0])],
)
def test_an_implausible_motion_is_lost(motion):
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    before = tracker.update(STEP_NS, TURNING / 4, 1.0)
    lost = tracker.update(2 * STEP_NS, motion, 1.0)
    assert lost.tracking is Tracking.LOST
    assert np.isfinite(lost.world_T_cam).all()
    assert np.diag(lost.covariance).min() > 1.0
    again = tracker.update(3 * STEP_NS, TURNING / 2, 1.0)
    assert again.tracking is Tracking.MOVING
    assert np.trace(again.covariance) < 2 * np.trace(before.covariance) + 1.0


def test_a_long_loss_stays_in_the_covariance():
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    for index in range(1, 12):
        tracker.lose(index * STEP_NS)
    state = tracker.update(12 * STEP_NS, TURNING, 1.0)
    assert state.covariance[0, 0] > 1e3


def test_a_motion_may_bring_its_own_covariance():
    """In the model's unit and along the keyframe's axes, which are the world's at the start."""
    own = np.diag([1.0, 4.0, 9.0, 0.01, 0.04, 0.09]) * 1e-4
    states = []
    for covariance in (own, None):
        tracker = OdometryTracker(SPEC)
        tracker.start(0, 'first frame')
        states.append(tracker.update(4 * STEP_NS, TURNING, 2.0, covariance=covariance))
    told, assumed = (state.covariance for state in states)
    lever = 2.0 * np.linalg.norm(TURNING[3:]) * 1e-3  # the first pose's own error, turned
    expected = np.diag(own) * [4, 4, 4, 1, 1, 1]
    np.testing.assert_allclose(np.diag(told), expected, atol=2e-6 + lever**2, rtol=0.02)
    assert not np.allclose(told, assumed)


def test_standing_still_keeps_pose_and_keyframe():
    tracker = OdometryTracker(SPEC)
    states = follow(path(9, TURNING / 4), tracker)
    for index in range(9, 100):
        state = tracker.hold(index * STEP_NS)
        assert not tracker.advanced
    assert state.tracking is Tracking.STILL
    np.testing.assert_array_equal(state.world_T_cam, states[8].world_T_cam)
    np.testing.assert_array_equal(state.linear_velocity, 0)
    moving = tracker.update(100 * STEP_NS, TURNING / 4, 1.0)
    expected = np.linalg.norm(TURNING[3:]) / 4 / 0.05
    assert np.linalg.norm(moving.linear_velocity) == pytest.approx(expected)


def test_time_jumps_are_told():
    tracker = OdometryTracker(SPEC)
    assert tracker.break_before(0) == 'first frame'
    tracker.start(10 * STEP_NS, 'first frame')
    assert tracker.break_before(11 * STEP_NS) is None
    assert tracker.break_before(10 * STEP_NS) is None
    assert 'time went back by 0.050 s' in tracker.break_before(9 * STEP_NS)
    assert tracker.break_before(400 * STEP_NS) is None


def test_a_pause_keeps_the_pose_and_says_how_uncertain_it_is():
    tracker = OdometryTracker(SPEC)
    before = follow(path(9, TURNING / 4), tracker)[-1]
    late_ns = before.stamp_ns + 1_500_000_000
    reason = tracker.gap_before(late_ns)
    assert reason == 'no frame was followed for 1.5 s'
    after = tracker.resume(late_ns, reason)
    assert tracker.advanced
    np.testing.assert_array_equal(after.world_T_cam, before.world_T_cam)
    assert after.tracking is Tracking.LOST
    assert np.linalg.eigvalsh(after.covariance - before.covariance).min() > 1.0
    assert (after.resets, after.gaps) == (0, 1)
    moved = tracker.update(late_ns + 4 * STEP_NS, TURNING, 1.0)
    assert moved.tracking is Tracking.MOVING
    expected = before.world_T_cam @ se3.motion_to_matrix(TURNING)
    np.testing.assert_allclose(moved.world_T_cam, expected, atol=1e-9)
    assert moved.covariance[0, 0] > 1e3
    assert moved.text == f'moving; uncertain since the path was torn 1 times, last: {reason}'
    fresh = tracker.start(late_ns + 5 * STEP_NS, 'asked for')
    assert (fresh.resets, fresh.gaps) == (1, 0)
    assert fresh.covariance[0, 0] < 1e-3


def test_a_slow_camera_with_a_model_of_its_pace_has_no_gaps():
    """1 Hz with 5 ms of jitter, and a frame that is lost now and then."""
    spec = dataclasses.replace(SPEC, interval_s=1.0)
    tracker = OdometryTracker(spec)
    tracker.start(0, 'first frame')
    stamps_ns = [round((i + 0.005 * (-1) ** i) * 1e9) for i in range(1, 20) if i % 5]
    for stamp_ns in stamps_ns:
        assert tracker.break_before(stamp_ns) is None
        assert tracker.gap_before(stamp_ns) is None
        elapsed = (stamp_ns - tracker.stamp_of(Reference.KEYFRAME)) / 1e9
        state = tracker.update(stamp_ns, np.array([0, 0, 0, 0, 0, 0.05 * elapsed]), 1.0)
    assert state.world_T_cam[2, 3] == pytest.approx(0.05 * stamps_ns[-1] / 1e9)
    assert state.covariance[0, 0] < 1.0


def test_a_pause_in_which_nobody_asked_is_told_as_such():
    tracker = OdometryTracker(SPEC)
    tracker.start(0, 'first frame')
    tracker.skip()
    assert tracker.gap_before(STEP_NS) is None
    assert tracker.gap_before(12 * 10**9) == 'nobody asked for odometry for 12.0 s'
    tracker.update(STEP_NS, TURNING / 4, 1.0)
    assert tracker.gap_before(12 * 10**9) == 'no frame was followed for 11.9 s'


def test_a_reset_is_counted_and_named():
    tracker = OdometryTracker(SPEC)
    follow(path(9, TURNING / 4), tracker)
    tracker.reset('the user asked')
    assert tracker.break_before(9 * STEP_NS) == 'the user asked'
    state = tracker.start(9 * STEP_NS, 'the user asked')
    assert (state.resets, state.reset_reason) == (1, 'the user asked')
    assert state.text == 'started; started anew 1 times, last: the user asked'
    np.testing.assert_array_equal(state.world_T_cam, np.eye(4))


BASE_T_CAM = se3.rigid(
    se3.BODY_R_OPTICAL @ se3.axis_angle_to_matrix(np.array([0.2, 0.1, 0.0])), np.array([0.3, 0, 1])
)


def state_of(world_T_cam, **changes) -> OdometryState:
    values = {
        'stamp_ns': 0,
        'world_T_cam': world_T_cam,
        'covariance': np.eye(6),
        'linear_velocity': np.zeros(3),
        'angular_velocity': np.zeros(3),
        'velocity_covariance': np.eye(6),
        'tracking': Tracking.MOVING,
        'resets': 0,
        'reset_reason': '',
        'gaps': 0,
        'gap_reason': '',
    }
    return OdometryState(**(values | changes))


def test_driving_forward_is_x_of_the_body():
    state = state_of(
        se3.motion_to_matrix(np.array([0, 0.3, 0, 0, 0, 2.0])),
        linear_velocity=np.array([0, 0, 1.0]),
        angular_velocity=np.array([0, 0.5, 0]),
    )
    body = body_odometry(state)
    np.testing.assert_allclose(body.odom_T_base[:3, 3], [2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(body.linear_velocity, [1, 0, 0], atol=1e-12)
    # Turning right in the image is a negative yaw.
    np.testing.assert_allclose(body.angular_velocity, [0, 0, -0.5], atol=1e-12)
    np.testing.assert_allclose(
        se3.matrix_to_axis_angle(body.odom_T_base[:3, :3]), [0, 0, -0.3], atol=1e-12
    )


def test_a_turn_on_the_spot_leaves_the_body_where_it_is():
    """The camera runs along an arc, the base does not move."""
    for yaw in (0.1, 1.0, 3.0):
        odom_T_base = se3.motion_to_matrix(np.array([0, 0, yaw, 0, 0, 0]))
        world_T_cam = se3.inverse(BASE_T_CAM) @ odom_T_base @ BASE_T_CAM
        body = body_odometry(state_of(world_T_cam), BASE_T_CAM)
        np.testing.assert_allclose(body.odom_T_base, odom_T_base, atol=1e-12)


@given(npst.arrays(np.float64, 6, elements=st.floats(-1, 1)))
def test_velocity_and_covariance_are_derivatives_of_the_pose(twist):
    """Against finite differences of the pose itself."""
    step = 1e-6
    world_T_cam = se3.motion_to_matrix(np.array([0.4, -0.7, 0.2, 1.0, 2.0, 3.0]))

    def moved(base_T_cam):
        # World axes: the position moves by the translation, the orientation turns on the left.
        turned = se3.axis_angle_to_matrix(step * twist[3:]) @ world_T_cam[:3, :3]
        pose = se3.rigid(turned, world_T_cam[:3, 3] + step * twist[:3])
        return body_odometry(state_of(pose), base_T_cam).odom_T_base

    for base_T_cam in (BASE_T_CAM, DEFAULT_BASE_T_CAM):
        before = body_odometry(state_of(world_T_cam), base_T_cam).odom_T_base
        after = moved(base_T_cam)
        change = np.concatenate([
            (after[:3, 3] - before[:3, 3]) / step,
            se3.matrix_to_axis_angle(after[:3, :3] @ before[:3, :3].T) / step,
        ])
        covariance = body_odometry(
            state_of(world_T_cam, covariance=np.outer(twist, twist)), base_T_cam
        ).pose_covariance
        np.testing.assert_allclose(covariance, np.outer(change, change), atol=1e-4)
        velocity = {'linear_velocity': twist[:3], 'angular_velocity': twist[3:]}
        at_start = body_odometry(state_of(np.eye(4), **velocity), base_T_cam)
        small = se3.rigid(se3.axis_angle_to_matrix(step * twist[3:]), step * twist[:3])
        moved_base = body_odometry(state_of(small), base_T_cam).odom_T_base
        np.testing.assert_allclose(
            at_start.linear_velocity, moved_base[:3, 3] / step, atol=1e-4
        )
