"""The demo without ROS: accuracy against the truth, pictures, page, and child processes."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import graphs
import numpy as np
import pytest

from depth_ros.bags import BagWriter
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.demo import top_view
from depth_ros.demo.accuracy import depth_accuracy, path_accuracy
from depth_ros.demo.answers import Answers, Cloud
from depth_ros.demo.page import Shot, make_page, write_pictures
from depth_ros.demo.page import top_view as view_of_answers
from depth_ros.demo.processes import Child, ProcessError, start
from depth_ros.demo.scene import Scene, open_scene
from depth_ros.demo.summary import (
    Accuracy,
    LatencyMs,
    Summary,
    depth_figures,
    latency,
    path_figures,
)
from depth_ros.errors import BagError
from depth_ros.messages import bag_messages as build
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.synthetic import SyntheticBag, make_path, make_scene, render, write_bag
from depth_ros.system.termination import terminated_like_interrupted

SEED, FRAMES = 1_000_001, 8
CAMERA = Intrinsics(80.0, 80.0, 47.5, 35.5, 96, 72)
DRIVE_STEP_NS = 200_000_000


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'scene'
    write_bag(path, SyntheticBag(SEED, FRAMES, 5.0, CAMERA))
    return path


@pytest.fixture(scope='module')
def scene(bag) -> Scene:
    return open_scene(bag)


@pytest.fixture(scope='module')
def poses() -> np.ndarray:
    return make_path(make_scene(SEED), FRAMES, 5.0, SEED)


@pytest.fixture(scope='module')
def true_depths(scene, poses) -> dict[int, np.ndarray]:
    rendered = make_scene(SEED)
    return {stamp: render(rendered, CAMERA, pose)[1]
            for stamp, pose in zip(scene.stamps_ns, poses)}


def body_path(poses: np.ndarray, scale: float = 1.0) -> list[np.ndarray]:
    """What a perfect node would publish: the first pose at the origin, in body axes."""
    base_T_cam = DEFAULT_BASE_T_CAM
    moved = [base_T_cam @ np.linalg.inv(poses[0]) @ pose @ base_T_cam.T for pose in poses]
    for pose in moved:
        pose[:3, 3] *= scale
    return moved


def summary_of(depth=None, path=None) -> Summary:
    return Summary(
        frames_in=8, frames_out=6, frames_overtaken=1, frames_refused=1, frames_lost=0,
        answered=0.75, latency_ms=LatencyMs(12.0, 20.0), accuracy=Accuracy(depth, path),
        rate_hz=15.0, bag='scene', image_topic='/image', image_size=(96, 72),
        frame_ids=('camera',), model='tiny', backend='a <runtime>', scale_source='model',
        torch_imported=False, distro='jazzy', middleware='rmw', python='3.11', cores=2)


def test_scene_knows_topics_truth_and_stamps(scene):
    assert scene.topics.image == '/camera/color/image_raw/compressed'
    assert scene.topics.camera_info == '/camera/color/camera_info'
    assert scene.depth_topic is not None
    assert scene.odometry_topic is not None
    assert len(scene.stamps_ns) == FRAMES
    assert scene.recorded_rate_hz == pytest.approx(5.0)


@pytest.mark.parametrize('count', [1, 2, 3, 5, 8, 100])
def test_spread_stays_below_its_count_and_inside_the_bag(scene, count):
    stamps = scene.spread(count)
    assert 1 <= len(stamps) <= count
    assert stamps <= set(scene.stamps_ns)


def test_scene_of_one_image_is_refused(tmp_path):
    write_bag(tmp_path / 'one', SyntheticBag(SEED, 1, 5.0, CAMERA))
    with pytest.raises(BagError, match='has 1 images'):
        open_scene(tmp_path / 'one')


def test_perfect_depth_has_no_error_and_a_constant_has(scene, true_depths):
    truths: dict[int, np.ndarray] = {}
    accuracy = depth_accuracy(scene, true_depths, truths)
    figures = depth_figures(accuracy)
    assert figures.images == FRAMES
    assert figures.abs_rel < 2e-3  # the bag holds millimetres
    assert figures.unscaled_abs_rel < 2e-3
    assert figures.d1 == 1.0
    assert figures.constant_abs_rel > 0.05
    assert truths.keys() == true_depths.keys()


def test_scaled_depth_is_right_only_after_median_scaling(scene, true_depths):
    doubled = {stamp: 2 * depth for stamp, depth in true_depths.items()}
    figures = depth_figures(depth_accuracy(scene, doubled, {}))
    assert figures.abs_rel < 2e-3
    assert figures.unscaled_abs_rel == pytest.approx(1.0, abs=0.01)
    assert figures.median_ratio == pytest.approx(0.5, abs=0.01)


def test_answers_far_from_every_truth_are_not_compared(scene, true_depths):
    late = {stamp + 50_000_000: depth for stamp, depth in true_depths.items()}
    assert depth_accuracy(scene, late, {}) is None
    assert depth_figures(None) is None


@pytest.mark.parametrize('scale', [1.0, 0.2])
def test_perfect_path_lies_on_the_truth(scene, poses, scale):
    answers = Answers(odom_T_base=dict(zip(scene.stamps_ns, body_path(poses, scale))))
    accuracy = path_accuracy(scene, answers, graphs.spec())
    figures = path_figures(accuracy)
    assert figures.poses == FRAMES
    assert figures.ate_scale_share < 1e-6
    assert figures.ate_m['Sim(3)'] < 1e-6
    if scale == 1.0:
        ours = np.stack(list(answers.odom_T_base.values()))[:, :3, 3]
        np.testing.assert_allclose(accuracy.true_in_odom_m, ours, atol=1e-6)
        assert figures.ate_m['SE(3)'] < 1e-6


def write_drive(path: Path, poses: np.ndarray, *, mounted: bool) -> None:
    """Images at 5 Hz; true depth at 20 Hz; odometry of the body at 10 Hz, and that of a wheel."""
    base_T_cam = DEFAULT_BASE_T_CAM.copy()
    base_T_cam[:3, 3] = (0.3, 0.1, 0.2)
    image = np.full((CAMERA.height, CAMERA.width, 3), 90, np.uint8)
    with BagWriter(path) as writer:
        if mounted:
            mounting = build.transform(0, 'base_link', 'optical', base_T_cam)
            writer.write('/tf_static', build.TRANSFORMS, 0, mounting)
        for index, world_T_cam in enumerate(poses):
            stamp_ns = index * DRIVE_STEP_NS
            writer.write('/camera/camera_info', build.CAMERA_INFO, stamp_ns,
                         build.camera_info(stamp_ns, 'optical', CAMERA))
            writer.write('/camera/image_raw/compressed', build.COMPRESSED_IMAGE, stamp_ns,
                         build.compressed_image(stamp_ns, 'optical', image))
            for quarter in range(4):
                at_ns = stamp_ns + quarter * 15_000_000
                metres = np.full((CAMERA.height, CAMERA.width), 1.0 + quarter, np.float32)
                writer.write('/camera/depth/image_raw/compressedDepth', build.COMPRESSED_IMAGE,
                             at_ns, build.compressed_depth(at_ns, 'optical', metres))
            world_T_base = world_T_cam @ np.linalg.inv(base_T_cam)
            writer.write('/odom', build.ODOMETRY, stamp_ns,
                         build.odometry(stamp_ns, 'odom', 'base_link', world_T_base))
            writer.write('/wheel', build.ODOMETRY, stamp_ns,
                         build.odometry(stamp_ns, 'odom', 'wheel', np.eye(4)))


@pytest.mark.parametrize('mounted', [True, False])
def test_a_path_of_the_body_is_moved_to_the_camera_or_said_to_be_the_body_s(
    tmp_path, poses, mounted
):
    write_drive(tmp_path / 'drive', poses, mounted=mounted)
    scene = open_scene(tmp_path / 'drive', odometry='/odom')
    answers = Answers(odom_T_base=dict(zip(scene.stamps_ns, body_path(poses))))
    figures = path_figures(path_accuracy(scene, answers, graphs.spec()))
    assert figures.poses == FRAMES
    if mounted:
        assert figures.ate_m['scale'] < 1e-6
        assert figures.caveat == ''
    else:
        assert 'base_link' in figures.caveat


def test_the_truth_nearest_in_time_is_compared(tmp_path, poses):
    write_drive(tmp_path / 'drive', poses, mounted=True)
    scene = open_scene(tmp_path / 'drive')
    truths: dict[int, np.ndarray] = {}
    ones = np.ones((CAMERA.height, CAMERA.width), np.float32)
    depth_accuracy(scene, dict.fromkeys(scene.stamps_ns, ones), truths)
    assert {float(np.nanmax(truth)) for truth in truths.values()} == {1.0}


def test_a_choice_of_truths_is_left_to_the_user_and_stops_nothing(tmp_path, poses):
    write_drive(tmp_path / 'drive', poses, mounted=True)
    scene = open_scene(tmp_path / 'drive')
    assert scene.odometry_topic is None
    (remark,) = scene.remarks
    assert '/odom' in remark
    assert '/wheel' in remark
    chosen = open_scene(tmp_path / 'drive', odometry='/wheel')
    assert (chosen.odometry_topic, chosen.remarks) == ('/wheel', ())
    with pytest.raises(BagError, match='/none'):
        open_scene(tmp_path / 'drive', odometry='/none')


def test_two_poses_are_no_path(scene, poses):
    answers = Answers(odom_T_base=dict(zip(scene.stamps_ns[:2], body_path(poses[:2]))))
    assert path_accuracy(scene, answers, graphs.spec()) is None
    assert path_figures(None) is None


def test_latency_counts_frames_with_both_times():
    published = {stamp: 1_000_000 * stamp for stamp in range(101)}
    received = {stamp: 1_000_000 * (stamp + stamp) for stamp in range(101)}
    received[999] = 5
    figures = latency(published, received)
    assert figures.p50 == pytest.approx(50.0)
    assert figures.p95 == pytest.approx(95.0)


def test_forward_is_up_and_left_is_left():
    path = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 1.0, 0.0]])
    picture = top_view.draw_top_view(np.zeros((0, 3)), np.zeros((0, 3), np.uint8), [path], 'm')
    rows, columns = np.nonzero((picture == (228, 87, 46)).all(axis=2))
    assert columns[rows.argmin()] < columns[rows.argmax()]
    assert rows.max() - rows.min() > 0.7 * top_view.HEIGHT


def test_upper_points_hide_lower_ones_and_the_ceiling_is_left_out():
    corners, heights = ((0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)), (-1.0, 0.0, 2.5)
    points = np.array([(x, y, z) for x, y in corners for z in heights])
    red, green, blue = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    colours = np.array([red, green, blue] * 4, np.uint8)
    picture = top_view.draw_top_view(points, colours, [], 'm')
    counts = {name: int((picture == colour).all(axis=2).sum())
              for name, colour in (('red', red), ('green', green), ('blue', blue))}
    # Two by two pixels each; the scale bar covers one of the four.
    assert counts == {'red': 0, 'green': 12, 'blue': 0}


def test_view_of_answers_places_clouds_by_the_odometry():
    pose = np.eye(4)
    pose[:3, 3] = (3.0, 0.0, 0.0)
    ahead = np.array([[0.5, 0.0, 1.0]], np.float32)
    red = np.array([[255, 0, 0]], np.uint8)
    answers = Answers(clouds=[Cloud(1, ahead, red), Cloud(2, ahead, red)],
                      odom_T_base={1: np.eye(4), 2: pose})
    picture = view_of_answers(answers, None, True)
    rows, _ = np.nonzero((picture == (255, 0, 0)).all(axis=2))
    assert np.ptp(rows) > 0.5 * top_view.HEIGHT
    assert view_of_answers(Answers(), None, True) is None


def test_page_and_pictures_show_what_there_is(tmp_path, true_depths, scene):
    depth = true_depths[scene.stamps_ns[0]]
    image = np.full((*depth.shape, 3), 90, np.uint8)
    shot = Shot(0, image, depth, None, None)
    write_pictures(tmp_path, shot, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['depth.png', 'input.png']
    full = dataclasses.replace(shot, confidence=np.full(depth.shape, 0.5, np.float32),
                               truth_m=depth)
    write_pictures(tmp_path, full, image)
    assert cv2.imread(str(tmp_path / 'confidence.png'))[0, 0].tolist() == [127] * 3
    page = make_page(summary_of(), [full], image, {0: 10.0, 1: 12.0}).to_html()
    assert '6 of 8 frames answered' in page
    assert 'a &lt;runtime&gt;' in page
    assert page.count('<img') == 5


def test_summary_is_json_with_the_promised_keys():
    values = json.loads(summary_of().to_json())
    assert (values['frames_in'], values['frames_out'], values['frames_overtaken']) == (8, 6, 1)
    assert values['latency_ms'] == {'p50': 12.0, 'p95': 20.0}
    assert values['torch_imported'] is False


def is_running(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def wait_until_finished(child: Child) -> None:
    deadline = time.monotonic() + 30
    while not child.finished():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_child_ends_with_its_block_even_by_an_error(tmp_path):
    pids = []

    def play_and_fail() -> None:
        with start('server', ['http.server', '0'], {}, tmp_path / 'log') as child:
            child.require_running()
            assert not child.finished()
            pids.append(child.pid)
            raise BagError('gone')

    with pytest.raises(BagError, match='gone'):
        play_and_fail()
    assert not is_running(pids[0])


def test_child_that_fails_shows_the_end_of_its_log(tmp_path):
    said = r'zip ended with status 1:(.|\n)*nowhere\.zip'
    with (
        start('zip', ['zipfile', '-l', '/nowhere.zip'], {}, tmp_path / 'log') as child,
        pytest.raises(ProcessError, match=said),
    ):
        wait_until_finished(child)


def test_child_that_ends_well_is_finished_but_not_running(tmp_path):
    with start('this', ['this'], {}, tmp_path / 'log') as child:
        wait_until_finished(child)
        with pytest.raises(ProcessError, match=r'this ended too early:(.|\n)*Namespaces'):
            child.require_running()


def test_termination_unwinds_like_an_interrupt(tmp_path):
    """A parent that is killed by SIGTERM in the middle takes its child with it."""
    program = (
        'import sys, time\nfrom pathlib import Path\n'
        'from depth_ros.demo.processes import start\n'
        'from depth_ros.system.termination import terminated_like_interrupted\n'
        'with terminated_like_interrupted(), '
        'start("s", ["http.server", "0"], {}, Path(sys.argv[1])) as child:\n'
        '    print(child.pid, flush=True)\n    time.sleep(60)\n'
    )
    parent = subprocess.Popen([sys.executable, '-c', program, str(tmp_path / 'log')],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    child_pid = int(parent.stdout.readline())
    assert is_running(child_pid)
    os.kill(parent.pid, signal.SIGTERM)
    assert parent.wait(timeout=30) != 0
    assert not is_running(child_pid)


def test_handler_of_sigterm_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with terminated_like_interrupted():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
