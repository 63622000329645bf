"""What arrives of a camera, over real DDS."""

import time

import numpy as np
import pytest
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_harness import BEST_EFFORT, FRAME, image_message, info_message, wait_for
from sensor_msgs.msg import CameraInfo

from depth_ros.errors import MessageError
from depth_ros.messages.camera_infos import CameraInfos
from depth_ros.parameters import ImageTransport
from depth_ros.ros.inputs import Arrival, Inputs


def ignore(_):
    """Take what nobody asks for."""


def open_inputs(node, infos, take_image=ignore, failed=ignore, unreadable=ignore):
    group = MutuallyExclusiveCallbackGroup()
    return Inputs(
        node, '', ImageTransport.RAW, infos, take_image, ignore, group, failed, unreadable
    )


class Camera:
    """The inputs of a node, and the peer that publishes to them."""

    def __init__(self, peer):
        self._peer = peer
        self.infos, self.arrivals, self.failures = CameraInfos(), [], []
        self.unreadable = []
        self._node = peer.other_node()
        self._inputs = open_inputs(
            self._node, self.infos, self.arrivals.append, self.failures.append,
            self.unreadable.append,
        )  # fmt: skip

    def info(self, message):
        """Publish a camera_info until it has come."""
        before = self._inputs.silence().infos_since_image

        def sent():
            self._peer.publish('camera_info', message, BEST_EFFORT)
            time.sleep(0.02)
            return self._inputs.silence().infos_since_image > before

        wait_for(sent, 'a camera_info')

    def take_latched(self):
        self._inputs.take_latched()

    def focal(self, stamp):
        return self.infos.match(stamp, FRAME, 96, 72).k[0]

    def close(self):
        self._inputs.destroy()
        self._node.destroy_node()


@pytest.fixture
def camera(peer):
    camera = Camera(peer)
    yield camera
    camera.close()


def test_each_camera_info_serves_the_image_of_its_stamp(camera):
    for stamp, focal in ((1, 100.0), (2, 100.0), (3, 120.0), (4, 100.0)):
        camera.info(info_message(96, 72, stamp, focal))
    assert [camera.focal(stamp) for stamp in (1, 2, 3, 4)] == [100.0, 100.0, 120.0, 100.0]
    assert camera.focal(9) == 100.0


def test_what_is_no_camera_info_leaves_those_that_are(camera, peer):
    peer.publish('camera_info', info_message(96, 72, 1, 100.0), BEST_EFFORT)
    camera.info(info_message(96, 72, 1, 100.0))
    for noise in (b'\0\1\0\0' + bytes(4), b'\0\1\0\0' + 40 * b'\xff'):
        camera.info(noise)
    assert camera.focal(1) == 100.0
    assert all('bytes on /camera_info are no serialised' in one for one in camera.unreadable)
    assert len(camera.unreadable) >= 2
    assert camera.failures == []
    camera.info(info_message(96, 72, 2, 120.0))
    assert camera.focal(2) == 120.0


def test_an_image_is_read_where_it_lies(camera, peer):
    rgb = np.random.default_rng(0).integers(0, 255, (72, 96, 3), np.uint8)

    def sent():
        peer.publish('image', image_message(rgb, 7), BEST_EFFORT)
        return camera.arrivals

    arrival = wait_for(sent, 'an image')[0]
    message = arrival.read()
    assert (message.encoding, message.height, message.width) == ('rgb8', 72, 96)
    assert bytes(message.data) == rgb.tobytes()
    assert np.shares_memory(np.frombuffer(message.data, np.uint8),
                            np.frombuffer(arrival.message, np.uint8))  # fmt: skip


def test_bytes_that_are_no_image_are_refused_when_read():
    with pytest.raises(MessageError, match='no serialised'):
        Arrival(b'\0\1\0\0', 0.0).read()


def test_inputs_that_cannot_be_opened_received_nothing(peer, monkeypatch):
    """Their threads might be answering images already, without end where other cameras go on."""
    received = []
    monkeypatch.setattr('depth_ros.ros.inputs.Receiving', lambda *given: received.append(given))

    def fail(*_):
        raise RuntimeError('no graph')

    node = peer.other_node()
    monkeypatch.setattr(node, 'get_publishers_info_by_topic', fail)
    with pytest.raises(RuntimeError, match='no graph'):
        open_inputs(node, CameraInfos())
    assert received == []
    assert node.count_subscribers('/image') == node.count_subscribers('/camera_info') == 0
    node.destroy_node()


def test_what_is_latched_is_taken_and_nobody_else_is_asked_for_it(camera, peer):
    node = peer.other_node()
    topic = '/camera_info'
    ordinary = node.create_publisher(CameraInfo, topic, BEST_EFFORT)
    wait_for(lambda: node.count_publishers(topic) == 1, 'a publisher')
    camera.take_latched()
    assert node.count_subscribers(topic) == 1
    node.destroy_publisher(ordinary)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(CameraInfo, topic, latched).publish(info_message(96, 72, 1, 110.0))

    def taken():
        camera.take_latched()
        return camera.infos.has_any

    wait_for(taken, 'the latched camera_info')
    assert camera.focal(9) == 110.0
    assert camera.failures == camera.unreadable == []
    node.destroy_node()
