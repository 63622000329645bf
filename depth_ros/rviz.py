"""What RViz shows of the node: config/depth.rviz with the topics and the frame of a launch in it.

Names are written into the file, since RViz finds the transport of images by the end of a topic's
name, before any remapping.
"""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from depth_ros.cameras.camera_names import camera_topic
from depth_ros.parameters import NodeParameters

_OUTPUTS = ('depth/color', 'points', 'odom')


def rviz_topics(camera: str, image: str, compressed: bool) -> dict[str, str]:
    """The topics of one camera by what config/depth.rviz calls them.

    Args:
        camera: its name; empty where its topics stand by themselves.
        image: topic of its images, without /compressed.
        compressed: whether they come compressed.
    """
    outputs = {topic: camera_topic(camera, topic) for topic in _OUTPUTS}
    return {'image': f'{image}/compressed' if compressed else image, **outputs}


def rviz_config(template: str, topics: Mapping[str, str], fixed_frame: str) -> str:
    """The text of config/depth.rviz with other topics and another fixed frame.

    Args:
        template: text of the file.
        topics: of `rviz_topics`.
        fixed_frame: in which everything is shown.
    """
    config = yaml.safe_load(template)
    manager = config['Visualization Manager']
    manager['Global Options']['Fixed Frame'] = fixed_frame
    for display in manager['Displays']:
        if 'Topic' in display:
            display['Topic']['Value'] = topics[display['Topic']['Value']]
    return yaml.safe_dump(config, sort_keys=False)


def derived_camera_info(image_topic: str) -> str:
    """Where RViz looks for the calibration of a Camera display's images: beside them, absolute."""
    return '/'.join(['', *image_topic.strip('/').split('/')[:-1], 'camera_info'])


def rviz_frame(camera: str, base_frame: str, publish_tf: bool) -> str:
    """A fixed frame for one camera: odom where the node broadcasts it, else the robot's base.

    Where neither is known it is a robot's own odom, which other odometry may broadcast.
    """
    if publish_tf:
        return NodeParameters().odom_frame_of(camera)
    return base_frame or NodeParameters().odom_frame
