"""What is sent on /tf."""

import numpy as np
import pytest
from nav_msgs.msg import Odometry

from depth_ros.motion.mounting import Mounting
from depth_ros.ros.transforms import TransformBroadcaster


def test_an_image_that_was_taken_up_before_transforms_ended_sends_none(peer):
    pytest.importorskip('tf2_msgs.msg')
    broadcaster = TransformBroadcaster(peer.other_node())
    mounting = Mounting('base_link', np.eye(4))
    broadcaster.send(Odometry(), mounting, 'camera')
    broadcaster.destroy()
    broadcaster.send(Odometry(), mounting, 'camera')
