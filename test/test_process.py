"""Recordings become bags: every frame, right geometry, repeatable, nothing half-written."""

import hashlib
import os
import subprocess
import sys

import cv2
import graphs
import numpy as np
import pytest
import recordings

from depth_ros.bags import BagReader, BagWriter, read_depth, read_frames, read_trajectory
from depth_ros.bags.topics import CameraTopics
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.rectifier import Rectifier
from depth_ros.cli.main import main
from depth_ros.messages import bag_messages as build
from depth_ros.messages.stamps import stamp_ns
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.offline.image_sources import list_images

FRAMES = 6


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return recordings.write_recording(tmp_path_factory.mktemp('bags') / 'waves', FRAMES,
                                      depth=False, odometry=False)


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'tiny')


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    folder.mkdir()
    for index in range(FRAMES):
        cv2.imwrite(str(folder / f'{index:03}.png'), recordings.grey_image(index))
    return folder


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'video.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10.0,
                             (recordings.WIDTH, recordings.HEIGHT))
    for index in range(FRAMES):
        writer.write(np.repeat(recordings.grey_image(index)[..., None], 3, axis=2))
    writer.release()
    return path


def process(source, model, out, *options):
    return main(['process', str(source), '--model', str(model.path), '--out', str(out), *options])


def topics_of(bag):
    with BagReader(bag) as reader:
        return {topic.name: topic.count for topic in reader.topics}


def messages_of(bag, topic):
    with BagReader(bag) as reader:
        return [message for _, _, message in reader.messages([topic])]


def test_every_frame_of_a_bag_has_its_depth(tmp_path, bag, model):
    out = tmp_path / 'out'
    assert process(bag, model, out) == 0
    assert topics_of(out) == {'/depth/image': FRAMES, '/depth/camera_info': FRAMES,
                              '/odom': FRAMES, '/tf': FRAMES, '/tf_static': 1}
    for index, (stamp, depth_m) in enumerate(read_depth(out, '/depth/image')):
        assert stamp == recordings.stamp_of(index)
        np.testing.assert_allclose(depth_m, recordings.true_depth(index), rtol=1e-3)
    info = messages_of(out, '/depth/camera_info')[0]
    assert info.header.frame_id == 'camera'
    assert info.k.tolist() == pytest.approx(recordings.CAMERA.matrix.ravel().tolist())


def test_odometry_is_in_body_axes_and_leads_back_to_the_camera(tmp_path, bag, model):
    out = tmp_path / 'out'
    process(bag, model, out, '--network-motion')
    body = read_trajectory(out, '/odom')
    assert (body.frame_id, body.child_frame_id) == ('odom', 'base_link')
    np.testing.assert_allclose(body.world_T_cam[:, 0, 3], 0.1 * np.arange(FRAMES), atol=1e-6)
    camera = read_trajectory(out, '/odom', 'camera')
    assert camera.child_frame_id == 'camera'
    np.testing.assert_allclose(camera.world_T_cam[0] @ [0, 0, 1, 1], [1, 0, 0, 1], atol=1e-6)
    last = messages_of(out, '/odom')[-1]
    assert last.twist.twist.linear.x == pytest.approx(0.5, rel=1e-3)
    assert np.diag(last.pose.covariance.reshape(6, 6)).min() > 0.0


def test_clouds_and_images_on_request(tmp_path, bag, model):
    out = tmp_path / 'out'
    process(bag, model, out, '--points', '--images')
    cloud = messages_of(out, '/points')[2]
    assert (cloud.width, cloud.height) == (recordings.WIDTH, recordings.HEIGHT)
    points = np.asarray(cloud.data).view(np.float32).reshape(cloud.height, cloud.width, 4)
    depth = recordings.true_depth(2)
    np.testing.assert_allclose(points[..., 2], depth, rtol=1e-3)
    u = np.arange(recordings.WIDTH)
    np.testing.assert_allclose(points[7, :, 0],
                               (u - recordings.CAMERA.cx) / recordings.CAMERA.fx * depth[7],
                               rtol=2e-3, atol=1e-6)
    topics = CameraTopics('/image_rect/compressed', '/depth/camera_info')
    image = list(read_frames(out, topics))[2].image
    assert np.abs(image[..., 1].astype(int) - recordings.grey_image(2)).mean() < 3.0


def test_signals_are_taken_after_a_model_was_closed(tmp_path, bag, model):
    """In a process of its own: it was a segmentation fault."""
    arguments = ['process', str(bag), '--model', str(model.path), '--out', str(tmp_path / 'out')]
    code = (
        'import signal, sys; from depth_ros.cli.main import main; '
        f'assert main({arguments!r}) == 0; '
        'signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7)); '
        'signal.raise_signal(signal.SIGTERM)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr


@pytest.mark.parametrize('names', [
    ('frame_1.png', 'frame_2.png', 'frame_10.png', 'frame_11.jpg', 'frame_100.png'),
    ('000.png', '001.png', '002.png', '010.png'),
    ('left.png', 'left1.png', 'left2.png', 'left10.png', 'right1.png'),
    # Times as Python prints them, without the last zeros.
    ('9.5.png', '10.175304.png', '10.25.png', '10.5.png', '1403636579763555584.png',
     '1403636579763555585.png'),
    ('01.png', '1.png', '2.PNG', 'a.png'),
])
def test_images_of_a_folder_are_in_natural_order(tmp_path, names):
    for name in sorted(names):
        (tmp_path / name).touch()
    (tmp_path / 'frame_3.txt').touch()
    assert [path.name for path in list_images(tmp_path)] == list(names)


def test_what_the_camera_never_saw_has_no_depth(tmp_path, model):
    info = build.camera_info(0, 'camera', recordings.CAMERA)
    info.d = np.array([-0.2, 0.05, 0.0, 0.0, 0.0])
    info.p[0] = info.p[5] = 35.0
    grey = recordings.grey_image(0)
    with BagWriter(tmp_path / 'bag') as writer:
        for topic, kind, message in (
            ('/camera/camera_info', build.CAMERA_INFO, info),
            ('/camera/image_raw', build.IMAGE, build.image(0, 'camera', grey, 'mono8')),
        ):
            writer.write(topic, kind, 0, message)
    assert process(tmp_path / 'bag', model, tmp_path / 'out') == 0
    ((_, depth_m),) = read_depth(tmp_path / 'out', '/depth/image')
    seen = Rectifier(CameraModel.from_info(info)).seen
    assert 0.1 < seen.mean() < 0.9
    np.testing.assert_array_equal(np.isfinite(depth_m), seen)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_the_same_input_gives_the_same_bytes(tmp_path, bag, model, storage):
    options = ('--points', '--images', '--confidence', '--storage', storage)
    digests = []
    for seed in ('1', '2'):
        # Of a process of its own, in which sets and dicts of objects have another order.
        out = tmp_path / seed / 'depth'
        subprocess.run(
            [sys.executable, '-m', 'depth_ros', 'process', str(bag), '--model', str(model.path),
             '--out', str(out), *options],
            env={**os.environ, 'PYTHONHASHSEED': seed}, check=True, capture_output=True,
        )  # fmt: skip
        digests.append({file.name: hashlib.sha256(file.read_bytes()).hexdigest()
                        for file in out.iterdir()})
    assert len(digests[0]) == 2
    assert digests[0] == digests[1]


def test_confidence_on_request(tmp_path, bag, model):
    process(bag, model, tmp_path / 'out', '--confidence', '--network-motion')
    found = messages_of(tmp_path / 'out', '/confidence/image')
    assert [stamp_ns(message.header) for message in found] == [
        recordings.stamp_of(index) for index in range(1, FRAMES)]
    assert (found[0].encoding, found[0].width) == ('32FC1', recordings.WIDTH)


def test_network_size_gives_the_pixels_of_the_network(tmp_path, bag):
    spec = graphs.spec(width=32, height=24, depth_width=32, depth_height=24)
    model = graphs.write_model(tmp_path / 'small', spec)
    process(bag, model, tmp_path / 'out', '--output-size', 'network')
    info = messages_of(tmp_path / 'out', '/depth/camera_info')[0]
    assert (info.width, info.height, info.k[0]) == (32, 24, pytest.approx(25.0))


@pytest.mark.parametrize(('options', 'frames'), [
    (('--first', '2'), [2, 3, 4, 5]),
    (('--last', '2'), [0, 1]),
    (('--from', '0.3', '--to', '0.9'), [2, 3, 4]),
])
def test_selected_frames_of_a_bag(tmp_path, bag, model, options, frames):
    process(bag, model, tmp_path / 'out', *options)
    stamps = [stamp for stamp, _ in read_depth(tmp_path / 'out', '/depth/image')]
    assert stamps == [recordings.stamp_of(index) for index in frames]


def test_image_folder(tmp_path, images, model):
    out = tmp_path / 'out'
    assert process(images, model, out, '--intrinsics', '50', '50', '31.5', '23.5',
                   '--rate', '5', '--first', '1') == 0
    found = list(read_depth(out, '/depth/image'))
    assert [stamp for stamp, _ in found] == [10**9 + index * 200_000_000
                                             for index in range(1, FRAMES)]
    np.testing.assert_allclose(found[0][1], recordings.true_depth(1), rtol=1e-3)


def test_video(tmp_path, video, model):
    out = tmp_path / 'out'
    assert process(video, model, out, '--hfov', '90') == 0
    infos = messages_of(out, '/depth/camera_info')
    assert [stamp_ns(info.header) for info in infos] == [10**9 + index * 10**8
                                                         for index in range(FRAMES)]
    assert infos[0].k[0] == pytest.approx(recordings.WIDTH / 2)
    _, depth_m = next(read_depth(out, '/depth/image'))
    assert np.abs(depth_m / recordings.true_depth(0) - 1.0).mean() < 0.03


@pytest.mark.parametrize(('options', 'error'), [
    ((), '--intrinsics FX FY CX CY or --hfov'),
    (('--hfov', '190'), '190.0 degrees'),
    (('--hfov', '60', '--rate', '0'), '0.0 frames per second'),
    (('--hfov', '60', '--first', '100'), 'no frame is selected'),
    (('--intrinsics', '0', '50', '31.5', '23.5'), 'intrinsics'),
])
def test_bad_options_for_images_are_refused(tmp_path, capsys, images, model, options, error):
    check_refused(tmp_path, capsys, images, model, options, error)


def check_refused(tmp_path, capsys, source, model, options, error):
    work = tmp_path / 'work'
    assert process(source, model, work / 'out', *options) == 2
    text = capsys.readouterr().err.strip().splitlines()
    assert len(text) == 1
    assert text[0].startswith('depth_ros process: error: ')
    assert error in text[0]
    assert not work.exists() or not list(work.iterdir())


def test_image_options_for_a_bag_are_refused(tmp_path, capsys, bag, model):
    check_refused(tmp_path, capsys, bag, model, ('--hfov', '60'), 'are for image folders')


def test_damaged_and_unequal_images_are_refused(tmp_path, capsys, images, model):
    cv2.imwrite(str(images / '004.png'), np.zeros((10, 20), np.uint8))
    check_refused(tmp_path, capsys, images, model, ('--hfov', '60'), '004.png is 20x10')
    (images / '004.png').write_bytes(b'no image')
    check_refused(tmp_path, capsys, images, model, ('--hfov', '60'), '004.png cannot be read')


def test_what_is_no_recording_is_refused(tmp_path, capsys, model):
    check_refused(tmp_path, capsys, tmp_path / 'none', model, (), 'does not exist')
    empty = tmp_path / 'empty'
    empty.mkdir()
    check_refused(tmp_path, capsys, empty, model, (), 'neither a bag nor a folder of images')
    (tmp_path / 'film.mp4').write_bytes(b'no film')
    check_refused(tmp_path, capsys, tmp_path / 'film.mp4', model, ('--hfov', '60'),
                  'cannot be read as a video')


def test_an_existing_bag_is_not_overwritten(tmp_path, capsys, bag, model):
    process(bag, model, tmp_path / 'out')
    before = topics_of(tmp_path / 'out')
    capsys.readouterr()
    assert process(bag, model, tmp_path / 'out', '--first', '3') == 2
    assert 'exists already' in capsys.readouterr().err
    assert topics_of(tmp_path / 'out') == before


def test_a_model_without_unit_needs_a_scale_by_name(tmp_path, capsys, bag):
    model = graphs.write_model(tmp_path / 'relative', graphs.spec(scale=ScaleKind.UP_TO_SCALE))
    check_refused(tmp_path, capsys, bag, model, (), 'scale')
    assert process(bag, model, tmp_path / 'none', '--scale', 'none') == 0
    assert process(bag, model, tmp_path / 'fixed', '--scale', 'fixed',
                   '--scale-factor', '3') == 0
    _, depth_m = next(read_depth(tmp_path / 'fixed', '/depth/image'))
    np.testing.assert_allclose(depth_m, 3.0 * recordings.true_depth(0), rtol=1e-3)


class TestUncalibratedCameras:
    @pytest.fixture(scope='class')
    def uncalibrated(self, tmp_path_factory):
        return recordings.write_recording(tmp_path_factory.mktemp('bags') / 'bare', FRAMES,
                                          depth=False, odometry=False, calibrated=False)

    @pytest.fixture(scope='class')
    def seeing(self, tmp_path_factory):
        """A model that tells half a degree of its field of view for each mean grey level."""
        spec = graphs.spec(motion=None)
        graph = graphs.canonical_graph(spec, 0.5)
        return graphs.write_model(tmp_path_factory.mktemp('models') / 'seeing', spec, graph)

    def test_are_refused_without_leave(self, tmp_path, capsys, uncalibrated, seeing):
        check_refused(tmp_path, capsys, uncalibrated, seeing, (), 'is not calibrated (K[0] = 0')

    def test_are_refused_where_the_model_sees_no_focal_length(
        self, tmp_path, capsys, uncalibrated, model
    ):
        check_refused(tmp_path, capsys, uncalibrated, model, ('--allow-estimated-focal',),
                      "model 'tiny' tells no field of view")

    @pytest.mark.parametrize('source', ['uncalibrated', 'images', 'video'])
    def test_have_the_focal_length_that_the_model_sees(self, request, tmp_path, seeing, source):
        out = tmp_path / 'out'
        recording = request.getfixturevalue(source)
        assert process(recording, seeing, out, '--allow-estimated-focal') == 0
        infos = messages_of(out, '/depth/camera_info')
        assert len(infos) == FRAMES
        # The pictures are about equally bright: one camera, not one a frame.
        assert len({info.k[0] for info in infos}) == 1
        fov_deg = 0.5 * recordings.grey_image(0).mean()
        focal = recordings.WIDTH / 2 / np.tan(np.radians(fov_deg) / 2)
        assert infos[0].k[0] == pytest.approx(focal, rel=0.02)
        assert infos[0].k[4] == infos[0].k[0]
        assert infos[0].k[2] == pytest.approx((recordings.WIDTH - 1) / 2)
        _, depth_m = next(read_depth(out, '/depth/image'))
        expected = infos[0].k[0] / recordings.WIDTH * recordings.true_depth(0)
        assert np.abs(depth_m / expected - 1.0).mean() < 0.03

    def test_calibration_goes_before_the_estimate(self, tmp_path, bag, seeing):
        out = tmp_path / 'out'
        assert process(bag, seeing, out, '--allow-estimated-focal') == 0
        info = messages_of(out, '/depth/camera_info')[0]
        assert info.k.tolist() == pytest.approx(recordings.CAMERA.matrix.ravel().tolist())
