"""Notices that no images come, and why."""

from __future__ import annotations

import os

from depth_ros.ros.health import OF_IMAGES, SHOWN_S, Level, Problem, Trouble
from depth_ros.ros.inputs import Inputs
from depth_ros.ros.monitor import Monitor
from depth_ros.system import transport

_ENOUGH_INFOS = 3
"""So many camera_info messages without an image are no accident of timing."""
UNREADABLE_CURE = 'see that its publisher has the sensor_msgs of this ROS distribution'


def watch_inputs(
    inputs: Inputs, timeout_s: float, needs_info: bool, monitor: Monitor
) -> None:
    """Report what is missing; to be called about once a second.

    Args:
        inputs: are watched.
        timeout_s: so long nothing may come.
        needs_info: whether images are of no use without camera_info.
        monitor: is told.

    camera_info arriving where images do not is what Fast DDS without a profile looks like: small
    messages pass, images above 512 kB are dropped without a word.
    """
    silence = inputs.silence()
    if silence.image_s < timeout_s:
        monitor.clear(Trouble.INPUT, Trouble.TRANSPORT)
        if needs_info and inputs.image_came and inputs.lacks_info:
            monitor.report(Trouble.CAMERA, Problem(Level.ERROR, missing_info(inputs)))
        return
    # An error of the last image would stand above the reason why no more come.
    monitor.clear(*OF_IMAGES, older_than_s=SHOWN_S)
    seconds = f'for {silence.image_s:.0f} s'
    publishers = inputs.publishers
    if publishers and silence.infos_since_image >= _ENOUGH_INFOS:
        what = f'camera_info arrives, images on {inputs.image_topic} do not {seconds}'
        cure = 'see that both sides run the same middleware on the same network'
        if transport.uses_fast_dds(os.environ):
            what += '; without a profile Fast DDS loses best-effort images above 512 kB'
            cure = transport.profile_cure()
        monitor.report(Trouble.TRANSPORT, Problem(Level.ERROR, what, cure))
        monitor.clear(Trouble.INPUT)
        return
    monitor.clear(Trouble.TRANSPORT)
    what = f'no image on {inputs.image_topic} {seconds}'
    if publishers:
        monitor.report(Trouble.INPUT, Problem(Level.WARN, f'{what}, though it has a publisher'))
    else:
        cure = f'nobody publishes it: start the camera, or remap {inputs.image_name} to its topic'
        monitor.report(Trouble.INPUT, Problem(Level.WARN, what, cure))


def missing_info(inputs: Inputs) -> str:
    """That no camera_info has arrived, where it should, and what to do about that."""
    what = f'no camera_info has arrived on {inputs.info_topic}'
    if inputs.unreadable_info:
        return f'{what} that can be read: {inputs.unreadable_info}; {UNREADABLE_CURE}'
    if inputs.info_publishers:
        return f'{what}, though it has a publisher; see that it publishes with images, or latched'
    return f'{what}; nobody publishes it: start it, or remap {inputs.info_name} to its topic'
