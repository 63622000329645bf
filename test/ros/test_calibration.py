"""What the node makes of camera_info: where it comes from, whose it is, and what it says."""

from __future__ import annotations

import graphs
import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_camera import HEIGHT, WIDTH, Camera, as_array
from ros_harness import FRAME, RELIABLE, image_message, info_message, wait_for
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.rectifier import Rectifier


class Linked(Camera):
    """One whose driver stamps camera_info with the frame of its housing."""

    def info_of(self, width: int, height: int, stamp: int, frame_id: str) -> CameraInfo:
        return super().info_of(width, height, stamp, 'camera_link')


class Bordered(Camera):
    """A distorted one, of whose rectified image the border shows nothing."""

    def info_of(self, width: int, height: int, stamp: int, frame_id: str) -> CameraInfo:
        info = super().info_of(width, height, stamp, frame_id)
        info.d = [-0.2, 0.05, 0.0, 0.0, 0.0]
        info.p[0] = info.p[5] = 40.0
        return info


def test_what_the_camera_never_saw_is_neither_depth_nor_a_point(network, peer, model):
    clouds = peer.collect(PointCloud2, 'points')
    depths = peer.collect(Image, 'depth/image')
    camera = Bordered(peer)
    with network.depth_node(model=model):
        camera.send_until(clouds)
        wait_for(lambda: depths, 'depth')
    info = camera.info_of(depths[-1].width, depths[-1].height, 0, '')
    seen = Rectifier(CameraModel.from_info(info)).seen
    assert 0.1 < seen.mean() < 0.9
    np.testing.assert_array_equal(np.isfinite(as_array(depths[-1], np.float32)), seen)
    cloud = clouds[-1]
    points = np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, 4)
    np.testing.assert_array_equal(np.isfinite(points[..., :3]), seen[..., None].repeat(3, 2))


def test_camera_info_in_the_only_other_frame_serves_and_is_told_of(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    camera = Linked(peer)
    with network.depth_node(model=model):
        camera.send_until(depths)
        told = peer.wait_diagnosis(
            lambda d: 'camera_link' in d['focal length'] and d['level'] == '0', camera.send
        )
    assert depths[-1].header.frame_id == FRAME
    assert FRAME in told['focal length']


class Silent(Camera):
    """One that publishes no camera_info."""

    def send_again(self, index: int, rgb: np.ndarray | None = None, frame_id: str = '') -> int:
        stamp = self.stamp(index)
        image = np.full((HEIGHT, WIDTH, 3), 120, np.uint8) if rgb is None else rgb
        self.peer.publish('image', image_message(image, stamp))
        return stamp


def test_camera_info_that_was_latched_before_serves_after_every_activation(network, peer, model):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = peer.node.create_publisher(CameraInfo, 'camera_info', latched)
    publisher.publish(info_message(WIDTH, HEIGHT, 1))
    depths = peer.collect(Image, 'depth/image')
    camera = Silent(peer)
    with network.depth_node(model=model):
        camera.send_until(depths)
        assert peer.transition('deactivate')
        assert peer.transition('activate')
        camera.send_until(depths)
    peer.node.destroy_publisher(publisher)


def test_camera_info_that_does_not_come_is_told_with_topic_and_cure(network, peer, model):
    camera = Silent(peer)
    with network.depth_node('camera_info:=/lens/info', model=model):
        told = peer.wait_diagnosis(lambda d: 'wrong: camera' in d, camera.send)
        assert told['level'] == '2'
        assert told['frames refused'] == '0'  # nobody wants them yet, and it is told already
        for words in ('no camera_info has arrived on /lens/info', 'nobody publishes it',
                      'remap camera_info'):  # fmt: skip
            assert words in told['wrong: camera']
        publisher = peer.node.create_publisher(CameraInfo, '/lens/info', RELIABLE)
        peer.wait_diagnosis(
            lambda d: 'though it has a publisher' in d.get('wrong: camera', ''), camera.send
        )
        publisher.publish(b'\0\1\0\0' + bytes(8))
        unreadable = 'that can be read: 12 bytes on /lens/info are no serialised'
        peer.wait_diagnosis(lambda d: unreadable in d.get('wrong: camera', ''), camera.send)
    peer.node.destroy_publisher(publisher)


def test_a_camera_that_is_not_there_yet_lacks_images_and_nothing_else(network, peer, model):
    with network.depth_node(model=model, image_timeout=4.0):
        seen = []
        told = peer.wait_diagnosis(lambda d: seen.append(d) or 'wrong: input' in d)
    assert told['level'] == '1'
    assert all('wrong: camera' not in one for one in seen)


def test_by_leave_a_camera_without_camera_info_is_estimated_until_there_is_one(
    network, peer, tmp_path
):
    spec = graphs.spec(motion=None, name='seeing')
    seeing = graphs.write_model(tmp_path, spec, graphs.canonical_graph(spec, 0.5)).path
    depths = peer.collect(Image, 'depth/image')
    camera = Silent(peer)
    with network.depth_node(model=seeing, allow_estimated_focal=True):
        camera.send_until(depths)
        told = peer.wait_diagnosis(
            lambda d: 'wrong: focal length' in d and 'wrong: camera' not in d, camera.send
        )
        assert 'field of view 60.0 degrees' in told['focal length']
        known = Camera(peer)
        known.sent = camera.sent + 100
        peer.wait_diagnosis(lambda d: d['focal length'] == 'of camera_info', known.send)
