"""Compute every frame of a recording and write a new bag.

INPUT is a bag, a folder of images or a video. The new bag holds /depth/image (32FC1, metres),
/depth/camera_info, and where the model knows egomotion /odom, /tf and /tf_static; /points,
/confidence/image and /image_rect/compressed on request. No frame is left out, and the same input
gives the same bag, byte for byte.

  depth_ros process kitchen --model my_model --out kitchen_depth --points
  depth_ros process drive.mp4 --hfov 70 --out drive_depth
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from depth_ros.bags import (
    BagReader,
    BagWriter,
    Selection,
    Storage,
    find_camera_topics,
    find_odometry_topic,
    read_frames,
    read_trajectory,
)
from depth_ros.cameras.lens import FieldOfView, Lens, PinholeValues
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.options import (
    add_focal_option,
    add_model_options,
    add_motion_option,
    add_scale_options,
    add_selection_options,
    add_topic_options,
    odometry_settings_of,
    open_pipeline,
    scale_settings_of,
    selection_of,
)
from depth_ros.cli.progress import Progress
from depth_ros.errors import BagError, ConfigError
from depth_ros.offline.estimate_bag import Contents, EstimateWriter
from depth_ros.offline.image_sources import (
    VIDEO_SUFFIXES,
    list_images,
    read_images,
    read_video,
    video_size,
)
from depth_ros.offline.recordings import OdometryFeed, rectified
from depth_ros.pipeline import CameraTrack, Frame, OutputSize, TrackSettings, Wanted
from depth_ros.pipeline.focal_estimate import FocalEstimate
from depth_ros.pipeline.scale import ScaleSettings

NAME = 'process'
HELP = 'compute depth and odometry of a whole bag, image folder or video into a new bag'

_DEFAULT_RATE_HZ = 15.0
_BAG_SUFFIXES = ('.mcap', '.db3', '.bag')


@dataclass(frozen=True)
class Source:
    """Frames to compute and how many they are, where that is known."""

    frames: Callable[[FocalEstimate], Iterator[Frame]]
    """Given what estimates the focal length of a camera of which nothing is known."""
    count: int | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('input', type=Path, metavar='INPUT', help='bag, image folder or video')
    parser.add_argument('--out', type=Path, required=True, metavar='BAG', help='bag to write')
    parser.add_argument('--storage', choices=[storage.value for storage in Storage],
                        default=Storage.MCAP.value,
                        help='file format of the bag (default: %(default)s)')
    parser.add_argument('--points', action='store_true', help='write coloured clouds /points')
    parser.add_argument('--confidence', action='store_true', help='write /confidence/image')
    parser.add_argument('--images', action='store_true', help='write /image_rect/compressed')
    parser.add_argument('--output-size', choices=[size.value for size in OutputSize],
                        default=OutputSize.CAMERA.value,
                        help='pixels of depth and cloud: those of the camera, or the fewer ones '
                             'of the network (default: %(default)s)')
    add_model_options(parser)
    add_motion_option(parser)
    add_focal_option(parser)
    add_scale_options(parser)
    add_selection_options(parser)
    add_topic_options(parser)
    camera = parser.add_argument_group('camera of an image folder or video')
    lens = camera.add_mutually_exclusive_group()
    lens.add_argument('--intrinsics', type=float, nargs=4, metavar=('FX', 'FY', 'CX', 'CY'),
                      help='pinhole camera in pixels')
    lens.add_argument('--hfov', type=float, metavar='DEG', help='horizontal field of view')
    camera.add_argument('--rate', type=float, metavar='HZ',
                        help="frames per second (default: the video's, "
                             f'{_DEFAULT_RATE_HZ:g} for images)')


def run(args: argparse.Namespace) -> int:
    """Process and write."""
    contents = Contents(args.points, args.images, args.confidence)
    wanted = Wanted(egomotion=True, confidence=args.confidence, image=args.points or args.images)
    scale = scale_settings_of(args) or ScaleSettings()
    settings = TrackSettings(
        output_size=OutputSize(args.output_size),
        scale=scale,
        odometry=odometry_settings_of(args),
        scale_smoothing_s=args.scale_smoothing,
    )
    source = _open(args)
    odometry = _odometry(args) if settings.needs_odometry else None
    with closing(open_pipeline(args)) as pipeline, BagWriter(args.out, Storage(args.storage)) \
            as bag, Progress('processed', source.count) as progress:
        track, focal = CameraTrack(pipeline, settings), FocalEstimate(pipeline)
        writer = EstimateWriter(bag, contents)
        done = 0
        for frame in source.frames(focal):
            if odometry is not None:
                odometry.tell(track, frame.stamp_ns)
            estimate = track.process(frame, wanted)
            focal.observe(estimate.fov_deg)
            writer.write(estimate)
            done += 1
            progress.update(done)
        if done == 0:
            raise BagError(f'{args.input}: no frame is selected')
    print(args.out)
    return 0


def _open(args: argparse.Namespace) -> Source:
    """Find out what INPUT is.

    Raises:
        BagError: none of what can be read; ConfigError: options that do not fit it.
    """
    path = args.input
    if not path.exists():
        raise BagError(f'{path} does not exist')
    if path.is_dir() and not _is_bag_folder(path):
        return _open_images(args, path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _open_video(args, path)
    if args.intrinsics is not None or args.hfov is not None or args.rate is not None:
        raise ConfigError('--intrinsics, --hfov and --rate are for image folders and videos; '
                          'a bag has camera_info and stamps')
    return _open_bag(args, path)


def _odometry(args: argparse.Namespace) -> OdometryFeed:
    """The odometry of a bag that tells metres, turns or both.

    Raises:
        ConfigError: INPUT is no bag; BagError: it has none, or several and none is named.
    """
    path = args.input
    if not (_is_bag_folder(path) if path.is_dir() else path.suffix in _BAG_SUFFIXES):
        option = '--scale-source' if args.scale_source == 'odometry' else '--turn-source'
        raise ConfigError(f'{option} odometry needs a bag, which {path} is not')
    with BagReader(path) as reader:
        topics = find_camera_topics(reader, args.image, args.camera_info)
        topic = find_odometry_topic(reader, args.scale_odometry)
        if topic is None:
            raise BagError(f'{path} has no odometry to take metres or turns from')
        camera_frame = reader.frame_of(topics.image)
    trajectory = read_trajectory(path, topic, camera_frame)
    caveat = trajectory.caveat(camera_frame)
    if caveat:
        print(f'warning: {caveat}, and turns spoil the metres', file=sys.stderr)
    return OdometryFeed(trajectory)


def _is_bag_folder(path: Path) -> bool:
    return ((path / 'metadata.yaml').exists()
            or any(file.suffix in _BAG_SUFFIXES for file in path.iterdir()))


def _open_bag(args: argparse.Namespace, path: Path) -> Source:
    selection = selection_of(args)
    with BagReader(path) as reader:
        topics = find_camera_topics(reader, args.image, args.camera_info)
        count = reader.topic(topics.image).count

    def frames(focal: FocalEstimate) -> Iterator[Frame]:
        lens = focal if args.allow_estimated_focal else None
        recorded = read_frames(path, topics, selection)
        return rectified(recorded, RectifyMode(args.rectify), topics.image, lens)

    return Source(frames, count if selection == Selection() else None)


def _open_images(args: argparse.Namespace, path: Path) -> Source:
    images = list_images(path)
    lens, rate_hz = _lens(args), _rate(args, _DEFAULT_RATE_HZ)
    return _selected(
        args, Source(lambda focal: read_images(images, lens or focal, rate_hz), len(images))
    )


def _open_video(args: argparse.Namespace, path: Path) -> Source:
    count, video_rate_hz = video_size(path)
    lens, rate_hz = _lens(args), _rate(args, video_rate_hz)
    return _selected(
        args, Source(lambda focal: read_video(path, lens or focal, rate_hz), count or None)
    )


def _selected(args: argparse.Namespace, source: Source) -> Source:
    """Apply the selection to frames that are not in a bag."""
    selection = selection_of(args)
    if selection == Selection():
        return source
    return Source(lambda focal: _select(source.frames(focal), selection), None)


def _select(frames: Iterator[Frame], selection: Selection) -> Iterator[Frame]:
    start_ns = None
    for index, frame in enumerate(frames):
        start_ns = frame.stamp_ns if start_ns is None else start_ns
        time_s = (frame.stamp_ns - start_ns) * 1e-9
        if selection.is_past(index, time_s):
            return
        if selection.contains(index, time_s):
            yield frame


def _lens(args: argparse.Namespace) -> Lens | None:
    """What the options tell of the camera; None: it is to be estimated."""
    if args.intrinsics is not None:
        return PinholeValues(*args.intrinsics)
    if args.hfov is not None:
        return FieldOfView(args.hfov)
    if args.allow_estimated_focal:
        return None
    raise ConfigError(f'{args.input} says nothing of its camera: give --intrinsics FX FY CX CY '
                      'or --hfov DEG, or --allow-estimated-focal with a model that tells it')


def _rate(args: argparse.Namespace, default_hz: float) -> float:
    rate_hz = default_hz if args.rate is None else args.rate
    if not 0.01 <= rate_hz <= 1000.0:
        raise ConfigError(f'{rate_hz} frames per second: need 0.01 to 1000, give --rate HZ')
    return rate_hz
