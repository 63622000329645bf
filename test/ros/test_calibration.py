"""What the node makes of camera_info: where it comes from, whose it is, and what it says."""

from __future__ import annotations

import numpy as np
from ros_camera import Camera, as_array
from ros_harness import FRAME, wait_for
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from depth_ros.camera import CameraModel, Rectifier


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
