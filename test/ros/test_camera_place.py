"""What a camera's place lacks, as the diagnostics tell it."""

from rclpy.logging import get_logger

from depth_ros.parameters import NodeParameters
from depth_ros.ros.camera_place import CameraPlace
from depth_ros.ros.health import Trouble
from depth_ros.ros.monitor import CameraMonitor
from depth_ros.ros.static_transforms import StaticTransforms


def test_images_without_a_frame_have_no_place_in_tf():
    monitor = CameraMonitor('camera', get_logger('test'), lambda: None)
    place = CameraPlace('', StaticTransforms(), monitor)
    mounting = place.mounting(NodeParameters(), '', broadcasting=True)
    assert not mounting.joins_camera  # tf2 refuses a frame without a name
    assert 'no frame_id' in monitor.problems[Trouble.TF].what
    place.mounting(NodeParameters(), '', broadcasting=False)
    assert not monitor.problems
    assert place.mounting(NodeParameters(), 'camera', broadcasting=True).joins_camera
    assert not monitor.problems
