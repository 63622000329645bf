"""Render a furnished room along a camera path into a bag with exact depth and poses.

The bag has the topics of an RGB-D camera: JPEG images, camera_info, compressed depth, and
/ground_truth/odom; with --baseline a second camera to the right. The same seed gives the same
room. Example:

    depth_ros synthesize --out scene --seed 7 --frames 300
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from depth_ros.bags import Storage
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cli.progress import Progress
from depth_ros.errors import ConfigError
from depth_ros.synthetic import CameraMount, SyntheticBag, WallStyle, write_bag

NAME = 'synthesize'
HELP = 'render a synthetic scene into a bag with exact depth and poses'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('--out', type=Path, required=True, help='bag folder to be made')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the scene and the path, 0 or more (default: %(default)s)')
    parser.add_argument('--frames', type=int, default=150, help='default: %(default)s')
    parser.add_argument('--rate', type=float, default=15.0, metavar='HZ',
                        help='frames a second (default: %(default)s)')
    parser.add_argument('--width', type=int, default=640, help='default: %(default)s')
    parser.add_argument('--height', type=int, default=480, help='default: %(default)s')
    parser.add_argument('--fov', type=float, default=62.7, metavar='DEGREES',
                        help='horizontal field of view (default: %(default)s)')
    parser.add_argument('--baseline', type=float, metavar='METRES',
                        help='add a second camera this far to the right')
    parser.add_argument('--speed', type=float, default=0.6, metavar='M/S',
                        help='typical speed of the camera (default: %(default)s)')
    parser.add_argument('--camera-height', type=float, metavar='METRES',
                        help='a robot drives with its camera this high above the floor '
                        '(default: a person carries it, at changing height and pitch)')
    parser.add_argument('--camera-pitch', type=float, metavar='DEGREES',
                        help="of the robot's camera, up positive (default: -10)")
    parser.add_argument('--walls', choices=[style.value for style in WallStyle],
                        default=WallStyle.TEXTURED.value,
                        help='plain: walls and ceiling without texture (default: %(default)s)')
    parser.add_argument('--storage', choices=[storage.value for storage in Storage],
                        default=Storage.MCAP.value, help='default: %(default)s')


def run(args: argparse.Namespace) -> int:
    """Render and write the bag."""
    bag = SyntheticBag(
        seed=args.seed,
        frames=args.frames,
        rate_hz=args.rate,
        intrinsics=_intrinsics(args.width, args.height, args.fov),
        baseline_m=args.baseline,
        walls=WallStyle(args.walls),
        speed=args.speed,
        mount=_mount(args.camera_height, args.camera_pitch),
    )
    with Progress('rendered', bag.frames) as progress:
        write_bag(args.out, bag, Storage(args.storage), progress.update)
    print(f'{args.out}: {bag.frames} frames of {args.width}x{args.height} at {args.rate:g} Hz')
    return 0


def _mount(height_m: float | None, pitch_deg: float | None) -> CameraMount | None:
    if height_m is None:
        if pitch_deg is not None:
            raise ConfigError(f'--camera-pitch {pitch_deg:g} needs --camera-height')
        return None
    return CameraMount(height_m, math.radians(-10.0 if pitch_deg is None else pitch_deg))


def _intrinsics(width: int, height: int, fov_deg: float) -> Intrinsics:
    if not 10 <= fov_deg <= 140:
        raise ConfigError(f'field of view {fov_deg} degrees must be 10 to 140')
    focal = 0.5 * width / math.tan(math.radians(fov_deg) / 2)
    return Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
