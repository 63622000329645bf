"""Read and write bags: rosbag2 (sqlite3, MCAP) and, for reading, ROS 1."""

from depth_ros.bags.clouds import BagCloud, read_clouds
from depth_ros.bags.frames import BagFrame, Selection, read_depth, read_frames, read_masks
from depth_ros.bags.moving_transforms import BagTransforms
from depth_ros.bags.reader import BagReader, Topic
from depth_ros.bags.static_transforms import TransformGraph, read_static_transforms
from depth_ros.bags.stereo import find_stereo_partner
from depth_ros.bags.topics import (
    CameraTopics,
    find_camera_topics,
    find_cloud_topic,
    find_depth_topic,
    find_mask_topic,
    find_odometry_topic,
    find_velocity_topic,
)
from depth_ros.bags.trajectory import Trajectory, read_trajectory
from depth_ros.bags.travel import Travel, read_travel
from depth_ros.bags.writer import BagWriter, Storage

__all__ = [
    'BagCloud',
    'BagFrame',
    'BagReader',
    'BagTransforms',
    'BagWriter',
    'CameraTopics',
    'Selection',
    'Storage',
    'Topic',
    'Trajectory',
    'TransformGraph',
    'Travel',
    'find_camera_topics',
    'find_cloud_topic',
    'find_depth_topic',
    'find_mask_topic',
    'find_odometry_topic',
    'find_stereo_partner',
    'find_velocity_topic',
    'read_clouds',
    'read_depth',
    'read_frames',
    'read_masks',
    'read_static_transforms',
    'read_trajectory',
    'read_travel',
]
