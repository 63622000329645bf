"""The depth node as the robot sees it: topics, states, services and parameters over real DDS."""

from __future__ import annotations

import importlib.util
import signal
import time
from functools import partial

import cv2
import graphs
import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_camera import (
    HEIGHT,
    SECOND,
    START,
    WIDTH,
    Camera,
    as_array,
    stamp_of,
    textured,
)
from ros_harness import (
    FRAME,
    RELIABLE,
    Peer,
    compressed_message,
    image_message,
    info_message,
    wait_for,
)
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_srvs.srv import Trigger

from depth_ros.messages.poses import matrix_to_quaternion
from depth_ros.motion.mounting import base_T_camera


def test_answers_with_depth_of_the_picture_in_its_stamp_and_frame(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    infos = peer.collect(CameraInfo, 'depth/camera_info')
    colors = peer.collect(Image, 'depth/color')
    camera = Camera(peer)
    with network.depth_node(model=model):
        camera.send_until(depths, 3)
        wait_for(lambda: infos and colors, 'depth/camera_info and depth/color')
    depth = depths[-1]
    index = (stamp_of(depth) - START) * 10 // SECOND
    assert stamp_of(depth) == camera.stamp(index)
    assert depth.header.frame_id == FRAME
    assert (depth.encoding, depth.width, depth.height) == ('32FC1', WIDTH, HEIGHT)
    # The tiny network answers 0.02 m for each level of the pixel's mean grey.
    seen = cv2.resize(textured(index), (64, 48), interpolation=cv2.INTER_AREA)
    expected = cv2.resize(seen.mean(2).astype(np.float32), (WIDTH, HEIGHT)) * 0.02
    inner = slice(8, -8)
    error = np.abs(as_array(depth, np.float32) / expected - 1)[inner, inner]
    assert np.median(error) < 0.02
    assert infos[-1].k[0] == pytest.approx(60.0)
    assert (infos[-1].width, infos[-1].height) == (WIDTH, HEIGHT)
    assert colors[-1].encoding == 'bgr8'
    assert len(colors[-1].data) == WIDTH * HEIGHT * 3


def test_camera_info_of_network_sized_depth_is_scaled_to_it(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    infos = peer.collect(CameraInfo, 'depth/camera_info')
    with network.depth_node(model=model, output_size='network'):
        Camera(peer).send_until(depths)
        wait_for(lambda: infos, 'depth/camera_info')
    assert (depths[-1].width, depths[-1].height) == (graphs.WIDTH, graphs.HEIGHT)
    factor = graphs.WIDTH / WIDTH
    assert infos[-1].k[0] == pytest.approx(60.0 * factor)
    assert infos[-1].k[2] == pytest.approx(factor * ((WIDTH - 1) / 2 + 0.5) - 0.5)
    assert infos[-1].p[0] == infos[-1].k[0]


def test_cloud_is_the_back_projection_of_the_depth(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    clouds = peer.collect(PointCloud2, 'points')
    with network.depth_node(model=model, point_stride=2):
        Camera(peer).send_until(clouds)
        cloud = clouds[-1]
        depth = wait_for(
            lambda: next((d for d in depths if stamp_of(d) == stamp_of(cloud)), None), 'its depth'
        )
    assert (cloud.width, cloud.height) == (WIDTH // 2, HEIGHT // 2)
    assert [f.name for f in cloud.fields] == ['x', 'y', 'z', 'rgb']
    assert not cloud.is_dense
    points = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 4)
    z = as_array(depth, np.float32)[::2, ::2]
    v, u = np.mgrid[0:HEIGHT:2, 0:WIDTH:2]
    np.testing.assert_allclose(points[..., 2], z)
    np.testing.assert_allclose(points[..., 0], (u - (WIDTH - 1) / 2) / 60.0 * z, atol=1e-5)
    np.testing.assert_allclose(points[..., 1], (v - (HEIGHT - 1) / 2) / 60.0 * z, atol=1e-5)
    blue = points[..., 3].copy().view(np.uint32) & 0xFF
    index = (stamp_of(cloud) - START) * 10 // SECOND
    np.testing.assert_array_equal(blue, textured(index)[::2, ::2, 2])


def test_odometry_moves_forward_in_body_axes_and_resets_on_request(network, peer, model):
    odometry = peer.collect(Odometry, 'odom')
    camera = Camera(peer)
    with network.depth_node(model=model):
        camera.send_until(odometry, 10)
        last = odometry[-1]
        assert (last.header.frame_id, last.child_frame_id) == ('odom', 'camera_frame')
        position = last.pose.pose.position
        # The tiny pose network answers 0.1 m straight ahead whatever it sees.
        assert position.x > 0.15
        assert abs(position.y) + abs(position.z) < 1e-6
        assert last.twist.twist.linear.x > 0
        assert last.pose.pose.orientation.w == pytest.approx(1.0)
        covariance = np.reshape(last.pose.covariance, (6, 6))
        assert np.linalg.eigvalsh(covariance).min() > 0
        answer = peer.call(Trigger, '/depth_node/reset', Trigger.Request())
        assert answer.success
        camera.send_until(odometry, 1)
        assert odometry[-1].pose.pose.position.x < position.x


def test_position_of_the_camera_on_the_robot_turns_the_path(network, peer, model):
    odometry = peer.collect(Odometry, 'odom')
    mounted = '[0.3, 0.0, 0.5, 0.0, 0.0, 1.5707963]'  # looks left
    parameters = {'base_frame': 'base_link', 'extrinsics': 'parameter', 'camera_in_base': mounted}
    with network.depth_node(model=model, **parameters):
        Camera(peer).send_until(odometry, 8)
    last = odometry[-1]
    assert last.child_frame_id == 'base_link'
    assert last.pose.pose.position.y > 0.15
    assert abs(last.pose.pose.position.x) < 1e-6


def test_compressed_images_come_on_the_topic_below(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    ok, data = cv2.imencode('.jpg', textured())
    assert ok
    with network.depth_node('image:=/cam/image_raw', model=model, image_transport='compressed'):
        for index in range(50):
            stamp = START + index * SECOND // 10
            peer.publish('camera_info', info_message(WIDTH, HEIGHT, stamp))
            peer.publish('/cam/image_raw/compressed', compressed_message(data.tobytes(), stamp))
            time.sleep(0.1)
            if depths:
                break
        assert depths[-1].width == WIDTH


def test_nothing_is_computed_that_nobody_wants(network, peer, model):
    camera = Camera(peer)
    with network.depth_node(model=model):
        for _ in range(5):
            camera.send()
            time.sleep(0.05)
        told = peer.wait_diagnosis(
            lambda d: int(d['frames unwanted']) > 0 and d['level'] == '0', camera.send)
    assert told['frames out'] == '0'


@pytest.mark.parametrize(
    ('spoil', 'trouble', 'words'),
    [
        ('encoding', 'wrong: image', ("encoding 'weird'", 'rgb8')),
        ('truncated', 'wrong: image', ('needs',)),
        ('uncalibrated', 'wrong: camera', ('not calibrated',)),
        ('other size', 'wrong: camera', ('32x24',)),
    ],
)
def test_a_bad_message_costs_that_message(network, peer, model, spoil, trouble, words):
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model) as node:
        camera.send_until(depths)
        # A frame of its own, or the good camera_info from before would serve.
        stamp, frame = START + 1000 * SECOND, 'other_frame'
        image = image_message(textured(), stamp, frame)
        info = info_message(WIDTH, HEIGHT, stamp, frame_id=frame)
        if spoil == 'encoding':
            image.encoding = 'weird'
        elif spoil == 'truncated':
            del image.data[100:]
        elif spoil == 'uncalibrated':
            info.k = [0.0] * 9
        else:
            info.width, info.height = 32, 24

        def send() -> None:
            peer.publish('camera_info', info)
            time.sleep(0.05)
            peer.publish('image', image)
            time.sleep(0.05)

        told = peer.wait_diagnosis(
            lambda d: all(word in d.get(trouble, '') for word in words), send
        )
        assert told['level'] == '2'
        assert told['frames refused'] != '0'
        assert 'Traceback' not in node.log
        before = len(depths)
        camera.send_until(depths)
        assert len(depths) > before
        peer.wait_diagnosis(lambda d: trouble not in d and d['level'] == '0', camera.send)


def test_missing_camera_info_is_told_and_mended(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=model):
        told = peer.wait_diagnosis(
            lambda d: 'wrong: camera' in d,
            lambda: peer.publish('image', image_message(textured(), START)),
        )
        assert 'no camera_info' in told['wrong: camera']
        Camera(peer).send_until(depths)


def test_images_that_do_not_come_are_told_with_the_cure(network, peer, model):
    with network.depth_node(model=model, image_timeout=0.5):
        told = peer.wait_diagnosis(lambda d: 'wrong: input' in d)
        assert 'nobody publishes it' in told['cure: input']
        peer.node.create_publisher(Image, 'image', RELIABLE)
        # Again and again: a node that does not know its publisher yet hears nothing.
        told = peer.wait_diagnosis(
            lambda d: 'wrong: transport' in d,
            lambda: peer.publish('camera_info', info_message(WIDTH, HEIGHT, START)),
        )
        assert 'camera_info arrives, images on /image do not' in told['wrong: transport']
        assert '_DEFAULT_PROFILES_FILE=' in told['cure: transport']


def test_newest_picture_wins_and_overtaken_ones_are_counted(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    big = np.kron(textured(), np.ones((10, 10, 1), np.uint8))
    with network.depth_node(model=model):
        camera.send_until(depths)

        def send_burst() -> None:
            # One may be no faster than the node where others want the cores.
            for _ in range(60):
                camera.send(big)

        def newest_is_answered() -> bool:
            # Best effort: the last of a burst may get lost, one by itself comes through.
            newest = camera.stamp(camera.sent - 1)
            for _ in range(20):
                if stamp_of(depths[-1]) == newest:
                    return True
                time.sleep(0.05)
            camera.send(big)
            return False

        told = peer.wait_diagnosis(lambda d: int(d['frames overtaken']) > 0, send_burst)
        wait_for(newest_is_answered, 'the newest picture')
    stamps = [stamp_of(d) for d in depths]
    assert stamps == sorted(set(stamps))
    counts = {name: int(told[f'frames {name}']) for name in ('in', 'out', 'overtaken')}
    assert counts['in'] <= camera.sent
    assert counts['out'] + counts['overtaken'] <= counts['in']


def test_lifecycle_from_outside(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model, autostart=False) as node:
        assert peer.state() == 'unconfigured'
        for _ in range(2):
            assert peer.transition('configure')
            assert peer.state() == 'inactive'
            assert peer.transition('activate')
            camera.send_until(depths, 2)
            assert peer.transition('deactivate')
            wait_for(lambda: peer.node.count_subscribers('/image') == 0, 'its leaving /image')
            assert peer.transition('activate')
            camera.send_until(depths, 2)
            assert peer.transition('deactivate')
            assert peer.transition('cleanup')
        assert peer.transition('shutdown')
        assert peer.state() == 'finalized'
        node.signal()
        assert node.status() == 0


def test_wrong_model_leaves_the_node_unconfigured_and_says_why(network, peer, model):
    with network.depth_node(model='/no/such/model') as node:
        told = peer.wait_diagnosis(lambda d: 'wrong: model' in d)
        assert told['level'] == '2'
        assert '/no/such/model' in told['message']
        assert peer.state() == 'unconfigured'
        assert peer.set_parameter('model', str(model)).successful
        assert peer.transition('configure')
        peer.wait_diagnosis(lambda d: d['level'] == '0')
        assert 'Traceback' not in node.log


def test_a_configure_that_fails_half_way_leaves_nothing_and_says_why(network, peer, model):
    wrong = {'qos_overrides./depth/color.publisher.reliability': 'bogus'}
    with network.depth_node(model=model, autostart=False, **wrong):
        for _ in range(2):
            assert not peer.transition('configure')
            assert peer.state() == 'unconfigured'
            wait_for(lambda: peer.node.count_publishers('/depth/image') == 0, 'no publisher left')
        told = peer.wait_diagnosis(lambda d: 'wrong: transition' in d)
        assert 'bogus' in told['wrong: transition']
        time.sleep(12.0)  # a bug of a callback is forgotten sooner
        assert peer.diagnosis()['level'] == '2'


def test_an_activation_that_fails_half_way_leaves_nothing_and_says_why(network, peer, model):
    wrong = {'qos_overrides./camera_info.subscription.reliability': 'bogus'}
    with network.depth_node(model=model, autostart=False, **wrong):
        assert peer.transition('configure')
        assert not peer.transition('activate')
        assert peer.state() == 'unconfigured'
        told = peer.wait_diagnosis(lambda d: 'wrong: transition' in d)
        assert 'bogus' in told['wrong: transition']
        time.sleep(1.0)  # one that is left would be discovered
        for topic in ('/image', '/camera_info'):
            wait_for(lambda t=topic: peer.node.count_subscribers(t) == 0, f'nobody on {topic}')


def test_what_cannot_be_opened_leaves_all_as_it_was(network, peer, model):
    wrong = {'qos_overrides./odometry.subscription.reliability': 'bogus'}
    with network.depth_node(model=model, **wrong):
        depths, camera = peer.collect(Image, 'depth/image'), Camera(peer)
        camera.send_until(depths)
        result = peer.set_parameter('scale_source', 'odometry')
        assert not result.successful
        assert 'bogus' in result.reason
        assert peer.get_parameter('scale_source') == 'model'
        camera.send_until(depths)
        assert not np.isnan(as_array(depths[-1], np.float32)).any()


def test_whoever_sets_parameters_is_answered_where_that_fails(network, peer, model):
    pytest.importorskip('tf2_msgs.msg')
    wrong = {'qos_overrides./tf.publisher.reliability': 'bogus'}
    with network.depth_node(model=model, **wrong):
        peer.wait_loaded()
        result = peer.set_parameter('publish_tf', True)
        assert not result.successful
        assert 'bogus' in result.reason
        assert peer.get_parameter('publish_tf') is False
        assert peer.set_parameter('point_stride', 2).successful


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_in_order_while_frames_come(network, peer, model, number):
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model) as node:
        camera.send_until(depths)
        node.signal(number)
        assert node.status() == 0
        assert 'Traceback' not in node.log
        assert 'terminate' not in node.log


@pytest.mark.parametrize(
    ('name', 'value', 'words'),
    [
        ('rectify', 'banana', ('banana', 'auto, always, never')),
        ('point_stride', 0, ('point_stride', '64')),
        ('camera_in_base', '[1.0]', ('camera_in_base', '6 finite numbers')),
    ],
)
def test_wrong_parameters_end_it_with_one_line(network, name, value, words):
    with network.depth_node(**{name: value}) as node:
        assert node.status() == 2
        (line,) = node.log.strip().splitlines()
        assert line.startswith('depth_node: error:')
        assert all(word in line for word in words), line


def test_dynamic_parameters_take_effect_and_others_are_refused(network, peer, model, tmp_path):
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    twice = graphs.write_model(
        tmp_path / 'twice', depth=graphs.depth_graph(graphs.spec(), per_grey=0.04)
    )
    with network.depth_node(model=model):
        camera.send_until(depths)
        once = float(np.nanmean(as_array(depths[-1], np.float32)))

        def mean_depth() -> float:
            camera.send_until(depths)
            return float(np.nanmean(as_array(depths[-1], np.float32)))

        assert peer.set_parameter('output_size', 'network').successful
        wait_for(lambda: mean_depth() and depths[-1].width == graphs.WIDTH, 'network size')
        assert peer.set_parameter('model', str(twice.path)).successful
        wait_for(lambda: mean_depth() > 1.8 * once, 'the other model')
        assert peer.set_parameter('scale_factor', 3.0).successful
        assert peer.set_parameter('scale_source', 'fixed').successful
        wait_for(lambda: mean_depth() > 5.0 * once, 'the fixed factor')
        for name, value, word in (
            ('rectify', 'banana', 'banana'),
            ('model', '/no/such/model', '/no/such/model'),
            ('point_stride', 65, '64'),
            ('image_transport', 'compressed', 'read-only'),
            ('publish_tf', 'yes', 'parameter type'),
            ('camera_in_base', [1.0], '6 finite numbers'),
        ):
            result = peer.set_parameter(name, value)
            assert not result.successful
            assert word in result.reason, result.reason
        camera.send_until(depths)


def test_up_to_scale_model_runs_only_by_the_users_word(network, peer, tmp_path):
    from depth_ros.model_folder.spec import ScaleKind

    spec = graphs.spec(scale=ScaleKind.UP_TO_SCALE, scale_source='none')
    model = graphs.write_model(tmp_path / 'relative', spec).path
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=model):
        told = peer.wait_diagnosis(lambda d: 'wrong: model' in d)
        assert 'scale' in told['wrong: model']
        assert peer.set_parameter('scale_source', 'none').successful
        assert peer.transition('configure')
        assert peer.transition('activate')
        camera = Camera(peer)
        camera.send_until(depths)
        peer.wait_diagnosis(lambda d: 'wrong: scale' in d and d['level'] == '1', camera.send)


def drive(peer: Peer, camera: Camera, depths: list[Image], child_frame: str = '') -> bool:
    """Tell of a robot that drives 1.5 m/s, and send the next picture; whether depth is known."""
    stamp = camera.stamp(camera.sent)
    odometry = Odometry(child_frame_id=child_frame)
    odometry.header.stamp.sec, odometry.header.stamp.nanosec = divmod(stamp, SECOND)
    odometry.pose.pose.position.x = 1.5 * (stamp - START) / SECOND
    odometry.pose.pose.orientation.w = 1.0
    peer.publish('odometry', odometry)
    camera.send_until(depths)
    return not np.isnan(as_array(depths[-1], np.float32)).any()


def test_scale_comes_from_odometry(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    parameters = {'base_frame': 'base_link', 'extrinsics': 'parameter'}
    with network.depth_node(model=model, scale_source='odometry', **parameters):
        camera.send_until(depths)
        assert np.isnan(as_array(depths[-1], np.float32)).all()
        peer.wait_diagnosis(lambda d: 'scale is known' in d.get('wrong: scale', ''))
        # The tiny network tells 0.1 for each keyframe of 0.2 s: the robot drives 1.5 m/s.
        wait_for(partial(drive, peer, camera, depths), 'a scale')
        told = peer.wait_diagnosis(lambda d: 'odometry over' in d['scale'])
    factor = float(told['scale'].rsplit(' ', 1)[1])
    assert 1.4 < factor < 5.0


def test_turns_come_from_odometry_while_that_is_their_source(network, peer, model):
    """The tiny network never turns; the robot does, by half a radian a second."""
    path = peer.collect(Odometry, 'odom')
    camera = Camera(peer)

    def turned(tell: bool = True) -> float:
        if tell:
            tell_of_the_turn()
        camera.send_until(path)
        return abs(path[-1].pose.pose.orientation.z)

    def tell_of_the_turn() -> None:
        stamp = camera.stamp(camera.sent)
        told = Odometry(child_frame_id='base_link')
        told.header.stamp.sec, told.header.stamp.nanosec = divmod(stamp, SECOND)
        half = 0.25 * (stamp - START) / SECOND
        told.pose.pose.orientation.z, told.pose.pose.orientation.w = np.sin(half), np.cos(half)
        peer.publish('odometry', told)

    parameters = {'base_frame': 'base_link', 'extrinsics': 'parameter', 'turn_source': 'odometry'}
    with network.depth_node(model=model, **parameters):
        wait_for(lambda: turned() > 0.1, 'a turn')
        assert peer.set_parameter('turn_source', 'features').successful
        before, after = [[turned(tell=False) for _ in range(6)][-1] for _ in range(2)]
        assert after == pytest.approx(before, abs=1e-6)


def test_scale_waits_for_the_place_of_the_camera_in_the_frame_of_the_odometry(
    network, peer, model
):
    TFMessage = pytest.importorskip('tf2_msgs.msg').TFMessage
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    on_base = partial(drive, peer, camera, depths, 'base_link')

    with network.depth_node(model=model, scale_source='odometry'):
        told = peer.wait_diagnosis(lambda d: 'wrong: mounting' in d, on_base)
        assert "'base_link', which /tf_static" in told['wrong: mounting']
        assert 'camera_in_base' in told['cure: mounting']
        assert not any(on_base() for _ in range(12))
        assert peer.set_parameter('scale_source', 'model').successful
        for _ in range(3):
            camera.send_until(depths)
        peer.wait_diagnosis(lambda d: 'wrong: mounting' not in d, camera.send)
        assert peer.set_parameter('scale_source', 'odometry').successful
        transform = TransformStamped(child_frame_id=FRAME)
        transform.header.frame_id = 'base_link'
        transform.transform.translation.x = 1.0
        transform.transform.rotation.w = 1.0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        peer.publish('/tf_static', TFMessage(transforms=[transform]), latched)
        wait_for(on_base, 'a scale')
        peer.wait_diagnosis(lambda d: 'wrong: mounting' not in d, on_base)


def test_the_tilt_that_camera_height_needs_comes_from_tf_static(network, peer, tmp_path):
    """A camera that looks 20 degrees down to a floor half a unit below it."""
    TFMessage = pytest.importorskip('tf2_msgs.msg').TFMessage
    pitch_rad = np.radians(20.0)
    rows = (np.arange(graphs.HEIGHT) - (graphs.HEIGHT - 1) / 2) / (60.0 * graphs.WIDTH / WIDTH)
    slope = rows * np.cos(pitch_rad) + np.sin(pitch_rad)
    floor = np.where(slope > 0.02, 0.5 / np.maximum(slope, 0.02), 25.0)
    profile = np.repeat(floor[:, None], graphs.WIDTH, axis=1)
    model = graphs.write_model(
        tmp_path / 'floor', depth=graphs.flat_depth_graph(graphs.spec(), profile)
    ).path
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    parameters = {'scale_source': 'camera_height', 'camera_height': 1.5, 'base_frame': 'base_link'}
    with network.depth_node(model=model, **parameters):
        told = peer.wait_diagnosis(
            lambda d: 'wrong: mounting' in d and 'wrong: scale' in d, camera.send
        )
        assert "'base_link' and 'camera_optical_frame'" in told['wrong: mounting']
        assert 'taking the camera for level' in told['wrong: scale']
        assert 'camera_in_base' in told['cure: scale']
        camera.send_until(depths)
        assert np.isnan(as_array(depths[-1], np.float32)).all()
        transform = TransformStamped(child_frame_id=FRAME)
        transform.header.frame_id = 'base_link'
        q = transform.transform.rotation
        pitched = base_T_camera((0.0, 0.0, 1.5, 0.0, float(pitch_rad), 0.0))
        q.x, q.y, q.z, q.w = matrix_to_quaternion(pitched[:3, :3])
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        peer.publish('/tf_static', TFMessage(transforms=[transform]), latched)
        told = peer.wait_diagnosis(lambda d: 'factor 3' in d['scale'], camera.send)
        assert 'camera tilted by 20.0 deg' in told['scale']
        peer.wait_diagnosis(lambda d: 'wrong: mounting' not in d, camera.send)


def wait_for_reliability(endpoints, topic, expected):
    """Each endpoint is discovered on its own, and nodes of tests before may still be known."""

    def known():
        return [one.qos_profile.reliability.name for one in endpoints(topic)]

    wait_for(lambda: known() == [expected], lambda: f'{expected} alone of {known()}')


def test_qos_can_be_overridden_on_every_endpoint(network, peer, model):
    overrides = {
        'qos_overrides./depth/image.publisher.reliability': 'best_effort',
        'qos_overrides./image.subscription.reliability': 'reliable',
    }
    depths = peer.collect(Image, 'depth/image')  # reliable: must not match any more
    with network.depth_node(model=model, **overrides):
        node = peer.node
        wait_for_reliability(node.get_subscriptions_info_by_topic, '/image', 'RELIABLE')
        wait_for_reliability(node.get_publishers_info_by_topic, '/depth/image', 'BEST_EFFORT')
    assert depths == []


def test_transforms_are_refused_without_tf2_msgs(network, peer, model):
    if importlib.util.find_spec('tf2_msgs') is not None:
        pytest.skip('tf2_msgs is installed')
    odometry = peer.collect(Odometry, 'odom')
    with network.depth_node(model=model, publish_tf=True):
        told = peer.wait_diagnosis(lambda d: 'wrong: tf' in d)
        assert 'tf2_msgs' in told['wrong: tf']
        Camera(peer).send_until(odometry)
        assert peer.set_parameter('point_stride', 2).successful
        assert peer.set_parameter('publish_tf', False).successful
        peer.wait_diagnosis(lambda d: 'wrong: tf' not in d)
        result = peer.set_parameter('publish_tf', True)
        assert not result.successful
        assert 'tf2_msgs' in result.reason


def test_transforms_join_odom_base_and_camera(network, peer, model):
    TFMessage = pytest.importorskip('tf2_msgs.msg').TFMessage
    odometry = peer.collect(Odometry, 'odom')
    transforms = peer.collect(TFMessage, '/tf')
    camera = Camera(peer)
    with network.depth_node(model=model, publish_tf=True):
        camera.send_until(odometry, 5)
        stamp = stamp_of(odometry[-1])
        message = wait_for(
            lambda: next((t for t in transforms if stamp_of(t.transforms[0]) == stamp), None),
            'its transforms',
        )
        links = [(t.header.frame_id, t.child_frame_id) for t in message.transforms]
        assert links == [('odom', 'camera_frame'), ('camera_frame', FRAME)]
        body, optical = (t.transform for t in message.transforms)
        assert body.translation.x == odometry[-1].pose.pose.position.x
        q = optical.rotation
        np.testing.assert_allclose([q.x, q.y, q.z, q.w], [-0.5, 0.5, -0.5, 0.5], atol=1e-12)
        assert peer.set_parameter('publish_tf', False).successful
        wait_for(lambda: peer.node.count_publishers('/tf') == 0, 'its leaving /tf')


def test_a_camera_below_a_robot_gets_no_second_parent_in_tf(network, peer, model):
    TFMessage = pytest.importorskip('tf2_msgs.msg').TFMessage
    odometry = peer.collect(Odometry, 'odom')
    moving = peer.collect(TFMessage, '/tf')
    links = []
    for parent, child in (('camera_link', 'camera_frame'), ('camera_frame', FRAME)):
        link = TransformStamped(child_frame_id=child)
        link.header.frame_id = parent
        link.transform.rotation.w = 1.0
        links.append(link)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    camera = Camera(peer)
    with network.depth_node(model=model, publish_tf=True):
        peer.publish('/tf_static', TFMessage(transforms=links), latched)
        told = peer.wait_diagnosis(
            lambda d: 'wrong: tf' in d, lambda: camera.send_until(odometry)
        )
        assert 'below camera_link, so odom -> camera_frame is not sent' in told['wrong: tf']
        assert 'base_frame' in told['cure: tf']
        assert told['level'] == '1'
        moving.clear()
        camera.send_until(odometry, 3)
        assert peer.set_parameter('base_frame', 'camera_link').successful
        wait_for(lambda: [camera.send_until(odometry)] and moving, 'the transform')
        peer.wait_diagnosis(lambda d: 'wrong: tf' not in d)
        assert peer.set_parameter('base_frame', '').successful
        peer.wait_diagnosis(lambda d: 'wrong: tf' in d, lambda: camera.send_until(odometry))
        assert peer.set_parameter('publish_tf', False).successful
        peer.wait_diagnosis(lambda d: 'wrong: tf' not in d)
    sent = {(t.header.frame_id, t.child_frame_id) for m in moving for t in m.transforms}
    assert sent == {('odom', 'camera_link')}


def test_position_of_the_camera_comes_from_tf_static(network, peer, model):
    TFMessage = pytest.importorskip('tf2_msgs.msg').TFMessage
    odometry = peer.collect(Odometry, 'odom')
    camera = Camera(peer)
    with network.depth_node(model=model, base_frame='base_link'):
        camera.send()
        told = peer.wait_diagnosis(lambda d: camera.send() and 'wrong: odometry' in d)
        assert 'base_link and camera_optical_frame' in told['wrong: odometry']
        transform = TransformStamped(child_frame_id=FRAME)
        transform.header.frame_id = 'base_link'
        transform.transform.rotation.w = 1.0  # the base has optical axes: z is ahead
        damaged = TransformStamped(child_frame_id='gripper')
        damaged.transform.rotation.w = 0.0
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        peer.publish('/tf_static', TFMessage(transforms=[damaged, transform]), latched)
        camera.send_until(odometry, 8)
        assert peer.set_parameter('point_stride', 2).successful
        camera.send_until(odometry)
        told = peer.diagnosis()
        assert "'gripper'" in told['wrong: tf']
        assert 'wrong: odometry' not in told
    last = odometry[-1]
    assert last.child_frame_id == 'base_link'
    assert last.pose.pose.position.z > 0.1
    assert abs(last.pose.pose.position.x) < 1e-6


def test_odometry_that_nobody_wants_any_more_is_not_missed(network, peer, tmp_path):
    model = graphs.write_model(tmp_path / 'without', graphs.spec(motion=None)).path
    depths = peer.collect(Image, 'depth/image')
    listener = peer.other_node()
    listener.create_subscription(Odometry, 'odom', lambda message: None, RELIABLE)
    camera = Camera(peer)
    with network.depth_node(model=model):
        told = peer.wait_diagnosis(lambda d: 'wrong: odometry' in d, camera.send)
        assert 'no pose network' in told['wrong: odometry']
        listener.destroy_node()
        peer.wait_diagnosis(
            lambda d: 'wrong: odometry' not in d, lambda: camera.send_until(depths)
        )


@pytest.mark.parametrize(('width', 'height'), [(640, 480), (1280, 720)])
def test_large_best_effort_images_all_arrive_with_the_profile(
    network, peer, model, width, height
):
    camera = Camera(peer)
    image = np.full((height, width, 3), 100, np.uint8)
    with network.depth_node(model=model):

        def arrived() -> int:
            return int(peer.diagnosis()['frames in'])

        wait_for(lambda: camera.send(image) and arrived() > 0, 'the first image')
        time.sleep(1.5)  # the diagnostics now count all that was sent so far
        before = arrived()
        for _ in range(20):
            camera.send(image)
            time.sleep(0.08)
        wait_for(lambda: arrived() - before >= 19, lambda: f'19 of 20: {arrived() - before}')
        assert 19 <= arrived() - before <= 20


def test_time_that_goes_back_resets_the_odometry(network, peer, model):
    odometry = peer.collect(Odometry, 'odom')
    camera = Camera(peer)
    with network.depth_node(model=model, use_sim_time=True) as node:
        camera.send_until(odometry, 8)
        assert odometry[-1].pose.pose.position.x > 0.1

        def jump() -> bool:
            for seconds in (200, 100):
                clock = Clock()
                clock.clock.sec = seconds
                peer.publish('/clock', clock)
                time.sleep(0.2)
            return 'ROS time went back' in node.log

        wait_for(jump, 'the reset')
        camera.send_until(odometry, 1)
        assert odometry[-1].pose.pose.position.x < 0.05


def test_odometry_that_nobody_asked_for_goes_on_where_it_was_and_says_so(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    known: list[Odometry] = []
    again: list[Odometry] = []
    camera = Camera(peer)
    with network.depth_node(model=model):
        listener = peer.node.create_subscription(Odometry, 'odom', known.append, RELIABLE)
        camera.send_until(known, 8)
        peer.node.destroy_subscription(listener)
        wait_for(lambda: peer.node.count_subscribers('odom') == 0, 'nobody to listen')
        camera.send_until(depths, 5)  # the node may have known of the listener a little longer
        camera.sent += 30
        camera.send_until(depths, 2)
        camera.sent += 30
        peer.node.create_subscription(Odometry, 'odom', again.append, RELIABLE)
        camera.send_until(again)
        told = peer.wait_diagnosis(lambda d: 'torn 1 times' in d['odometry'], camera.send)
    assert 'nobody asked for odometry for' in told['odometry']
    assert 'started anew' not in told['odometry']
    first = again[0].pose
    assert first.pose.position.x >= known[-1].pose.pose.position.x - 1e-9 > 0.1
    assert first.covariance[0] > 1e3


def test_a_loop_of_the_bag_resets_the_odometry_by_the_stamps_alone(network, peer, model):
    odometry = peer.collect(Odometry, 'odom')
    camera = Camera(peer)
    with network.depth_node(model=model):
        camera.send_until(odometry, 8)
        assert odometry[-1].pose.pose.position.x > 0.1
        camera.sent = 0
        camera.send_until(odometry, 1)
        assert odometry[-1].pose.pose.position.x < 0.05
