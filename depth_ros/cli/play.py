"""Publish a bag on its topics, with the timing of its recording.

BAG is a rosbag2 (MCAP or sqlite3) or a ROS 1 bag. Messages are published as the bytes that were
recorded; topics whose message type is not installed are left out, by name. --camera publishes
the images as `image` (`image/compressed`) and their calibration as `camera_info`, which is what
the depth node listens to.

    depth_ros play my_bag
    depth_ros play my_bag --camera --rate 0.5 --loop
    depth_ros play my_bag --topics /camera/image_raw /camera/camera_info --clock
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from depth_ros.bags import BagReader, find_camera_topics
from depth_ros.errors import ConfigError
from depth_ros.system import transport

NAME = 'play'
HELP = 'publish a bag on its topics'

_CLOCK_HZ = 40.0
_COMPRESSED = '/compressed'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('bag', type=Path, metavar='BAG', help='folder or file of the recording')
    parser.add_argument('--rate', type=float, default=1.0, metavar='FACTOR',
                        help='times the recorded speed (default: %(default)g)')
    parser.add_argument('--loop', action='store_true', help='begin again at the end')
    parser.add_argument('--clock', type=float, nargs='?', const=_CLOCK_HZ, metavar='HZ',
                        help='publish recorded time on /clock, for nodes with use_sim_time '
                             '(default rate: %(const)g)')
    parser.add_argument('--topics', nargs='+', default=[], metavar='TOPIC',
                        help='only these (default: all)')
    parser.add_argument('--remap', nargs='+', default=[], metavar='FROM:=TO',
                        help='publish under another name')
    parser.add_argument('--camera', action='store_true',
                        help='publish the camera as image and camera_info')
    parser.add_argument('--image', metavar='TOPIC',
                        help='images of --camera, where the bag has several')
    parser.add_argument('--camera-info', metavar='TOPIC', help='their calibration')
    parser.add_argument('--namespace', default='', metavar='NS',
                        help='of the names that --camera gives')
    parser.add_argument('--wait', type=float, default=3.0, metavar='SECONDS',
                        help='wait so long at most until every topic has a reader '
                             '(default: %(default)g)')
    parser.add_argument('--wait-for-node', default='', metavar='NODE',
                        help='before that, wait until this depth node has loaded its model, '
                             'for example /depth_node')
    parser.add_argument('--log', type=Path, metavar='FILE',
                        help='write stamp and time of publishing of every image as CSV')


def run(args: argparse.Namespace) -> int:
    """Publish until the bag ends."""
    transport.use_profile()
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from depth_ros.ros.player import PlayRequest, play
    except ImportError as error:
        raise ConfigError(f'play needs ROS 2: {error}') from None
    request = PlayRequest(
        bag=args.bag,
        topics=tuple(args.topics),
        names=_names(args),
        rate=args.rate,
        loop=args.loop,
        clock_hz=args.clock,
        wait_s=args.wait,
        ready_node=args.wait_for_node,
        log=args.log,
    )
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node('depth_player', namespace=args.namespace)
    try:
        sent = play(node, request, lambda line: print(line, file=sys.stderr))
    except KeyboardInterrupt:
        if not args.loop:
            raise
        return 0  # what else should end a loop
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(f'{sent} messages of {args.bag}')
    return 0


def _names(args: argparse.Namespace) -> dict[str, str]:
    """Recorded to published names.

    Raises:
        BagError: --camera, and the bag has no camera or several.
        ConfigError: a --remap that is none.
    """
    names = {}
    if args.camera or args.image or args.camera_info:
        with BagReader(args.bag) as reader:
            camera = find_camera_topics(reader, args.image, args.camera_info)
        compressed = camera.image.endswith(_COMPRESSED)
        names[camera.image] = 'image' + (_COMPRESSED if compressed else '')
        names[camera.camera_info] = 'camera_info'
    for remap in args.remap:
        recorded, separator, published = remap.partition(':=')
        if not (recorded and separator and published):
            raise ConfigError(f'--remap {remap}: write FROM:=TO')
        names[recorded] = published
    return names
