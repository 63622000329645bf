"""Distances between places, from twists and poses, against paths whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recordings import forward_pose, stamp_of

from depth_ros.bags import BagReader, BagWriter, find_velocity_topic, read_travel
from depth_ros.bags.travel import integrate_twists
from depth_ros.errors import BagError
from depth_ros.messages import bag_messages
from depth_ros.messages.bag_messages import Twist
from depth_ros.messages.stamps import NSEC
from depth_ros.motion import se3

CAMERA, BODY = 'camera', 'base_link'
# The camera sits 0.4 m ahead of the body's origin and 0.2 m to its left.
BODY_T_CAMERA = se3.rigid(se3.BODY_R_OPTICAL, np.array([0.4, 0.2, 0.5]))
SPEED, TURN = 0.8, 0.6


def circle(time_s: float) -> np.ndarray:
    """world_T_body of a body that drives a circle at SPEED [m/s] and TURN [rad/s]."""
    angle, radius = TURN * time_s, SPEED / TURN
    place = np.array([radius * np.sin(angle), radius * (1 - np.cos(angle)), 0.0])
    return se3.rigid(se3.axis_angle_to_matrix(np.array([0.0, 0.0, angle])), place)


def twist(linear: float = SPEED, turn: float = TURN) -> Twist:
    return Twist(np.array([linear, 0, 0]), np.array([0, 0, turn]), np.zeros((6, 6)))


def stamp(time_s: float) -> int:
    return stamp_of(0) + round(time_s * NSEC)


def write(path: Path, times_s: np.ndarray, *, twists: bool, tf: bool = True) -> Path:
    with BagWriter(path) as bag:
        if tf:
            message = bag_messages.transform(stamp(0), BODY, CAMERA, BODY_T_CAMERA)
            bag.write('/tf_static', bag_messages.TRANSFORMS, stamp(0), message)
        for time_s in times_s:
            message = bag_messages.odometry(
                stamp(time_s), 'odom', BODY, circle(time_s), twist=twist() if twists else None
            )
            bag.write('/odom', bag_messages.ODOMETRY, stamp(time_s), message)
    return path


def true_distance(one_s: float, other_s: float, body_T_point: np.ndarray) -> float:
    places = [(circle(t) @ body_T_point)[:3, 3] for t in (one_s, other_s)]
    return float(np.linalg.norm(places[1] - places[0]))


@pytest.mark.parametrize('twists', [True, False], ids=['twists', 'poses'])
@pytest.mark.parametrize('tf', [True, False], ids=['lever', 'no lever'])
def test_a_circle_is_measured_at_the_camera(tmp_path: Path, twists: bool, tf: bool) -> None:
    """Twists that are all zero with zero covariance were not measured: poses tell then."""
    bag = write(tmp_path / 'bag', np.arange(0, 3, 0.02), twists=twists, tf=tf)
    travel = read_travel(bag, '/odom', CAMERA)
    assert travel is not None
    assert travel.whose == (CAMERA if tf else BODY)
    moments = (0.111, 0.5, 1.337, 2.9)
    places, pieces = travel.at(np.array([stamp(t) for t in moments]))
    assert len(set(pieces)) == 1
    point = BODY_T_CAMERA if tf else np.eye(4)
    for i, one in enumerate(moments):
        for j, other in enumerate(moments):
            found = float(np.linalg.norm(places[j] - places[i]))
            assert found == pytest.approx(true_distance(one, other, point), rel=2e-3, abs=1e-4)
    lever_matters = true_distance(0.5, 1.337, BODY_T_CAMERA) / true_distance(
        0.5, 1.337, np.eye(4)
    )
    assert abs(lever_matters - 1) > 0.05


def test_the_lever_moves_where_the_body_only_turns() -> None:
    """v + omega x r: a camera 2 m ahead of the turning point travels a circle of 2 m."""
    stamps = np.arange(0, 101) * 10_000_000
    twists = np.zeros((101, 6))
    twists[:, 5] = 1.0
    travel = integrate_twists(stamps, twists, np.array([2.0, 0.0, 0.0]), 'camera')
    places, _ = travel.at(stamps[[0, 100]])
    assert np.linalg.norm(places[1] - places[0]) == pytest.approx(4 * np.sin(0.5), rel=1e-4)


def test_a_linear_ramp_is_integrated_exactly_at_any_moment() -> None:
    stamps = np.arange(0, 11) * 100_000_000
    twists = np.zeros((11, 6))
    twists[:, 0] = np.linspace(0, 1, 11)
    travel = integrate_twists(stamps, twists, np.zeros(3), 'body')
    places, _ = travel.at(stamps)
    np.testing.assert_allclose(places[:, 0], 0.5 * (stamps / NSEC) ** 2, atol=1e-12)
    (between,), _ = travel.at(np.array([250_000_000]))
    assert between[0] == pytest.approx((0.02 + 0.045) / 2)


def test_stale_and_outside_is_unknown() -> None:
    times_s = np.concatenate([np.arange(0, 1, 0.02), np.arange(1.5, 2.5, 0.02)])
    stamps = np.round(times_s * NSEC).astype(np.int64)
    twists = np.zeros((len(stamps), 6))
    twists[:, 0] = 1.0
    twists[10] = np.nan
    travel = integrate_twists(stamps, twists, np.zeros(3), 'body')
    wanted = np.array([-0.1, 0.1, 0.205, 0.9, 1.2, 1.6, 2.4, 2.6]) * NSEC
    places, pieces = travel.at(wanted.astype(np.int64))
    assert np.isfinite(places).all(1).tolist() == [False, True, False, True, False, True, True,
                                                   False]  # fmt: skip
    assert pieces[1] != pieces[3] != pieces[5] == pieces[6]
    assert np.linalg.norm(places[6] - places[5]) == pytest.approx(0.8)


def test_poses_are_compared_across_gaps_but_not_interpolated_in_them(tmp_path: Path) -> None:
    times_s = np.concatenate([np.arange(0, 1, 0.05), np.arange(2, 3, 0.05)])
    travel = read_travel(write(tmp_path / 'bag', times_s, twists=False), '/odom', CAMERA)
    assert travel is not None
    places, pieces = travel.at(np.array([stamp(t) for t in (0.5, 1.5, 2.5)]))
    assert np.isnan(places[1]).all()
    assert pieces[0] == pieces[2]
    distance = np.linalg.norm(places[2] - places[0])
    assert distance == pytest.approx(true_distance(0.5, 2.5, BODY_T_CAMERA), rel=1e-3)


def test_twist_messages_and_what_says_nothing(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for i in range(20):
            for topic, value in (('/speed', twist(turn=0.0)), ('/still', twist(0.0, 0.0))):
                message = bag_messages.twist_stamped(stamp_of(i), BODY, value)
                bag.write(topic, bag_messages.TWIST, stamp_of(i), message)
    travel = read_travel(tmp_path / 'bag', '/speed', CAMERA)
    assert travel is not None
    assert travel.whose == BODY
    places, _ = travel.at(np.array([stamp_of(3), stamp_of(8)]))
    assert np.linalg.norm(places[1] - places[0]) == pytest.approx(SPEED * 1.0)
    assert read_travel(tmp_path / 'bag', '/still', CAMERA) is None


def test_an_unmeasured_variance_hides_its_twist(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for i in range(10):
            covariance = np.zeros((6, 6))
            covariance[0, 0] = -1 if i == 5 else 0.01
            value = Twist(np.array([1.0, 0, 0]), np.zeros(3), covariance)
            message = bag_messages.odometry(stamp_of(i), 'odom', CAMERA, np.eye(4), twist=value)
            bag.write('/odom', bag_messages.ODOMETRY, stamp_of(i), message)
    travel = read_travel(tmp_path / 'bag', '/odom', CAMERA)
    assert travel is not None
    _, pieces = travel.at(np.array([stamp_of(i) for i in (3, 4, 6, 9)]))
    assert pieces[0] == pieces[1] != pieces[2] == pieces[3]


def test_measurements_are_found_before_poses_and_never_commands(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        value = bag_messages.twist_stamped(stamp_of(0), BODY, twist())
        pose = bag_messages.pose_stamped(stamp_of(0), 'map', forward_pose(0))
        bag.write('/cmd_vel', bag_messages.TWIST, stamp_of(0), value)
        bag.write('/goal_pose', bag_messages.POSE, stamp_of(0), pose)
        bag.write('/pose', bag_messages.POSE, stamp_of(0), pose)
    with BagReader(tmp_path / 'bag') as reader:
        assert find_velocity_topic(reader) == '/pose'
        assert find_velocity_topic(reader, 'cmd_vel') == '/cmd_vel'
        with pytest.raises(BagError, match='has no velocity topic /speed'):
            find_velocity_topic(reader, '/speed')
