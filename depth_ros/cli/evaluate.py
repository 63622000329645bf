"""Measure a model on a bag that holds true depth, true odometry, foreground masks, or several.

The frames go through the pipeline that the robot runs. True depth comes from depth images or from
a LiDAR whose place in the camera /tf_static tells. Depth is compared with and without median
scaling, the path after named alignments, and beside them stand guesses that use no network: a
model that does not beat them has learned nothing about this place. The guesses that know such
places are made from the training frames, by default those before the evaluated ones. Where depth
images are the truth, boundary F1 tells how sharp edges of depth are and how well they are placed;
mask recall tells it against foreground masks, of matting or segmentation, without any true depth.

  depth_ros evaluate --bag kitchen --model my_model --first 280 --out report
  depth_ros evaluate --bag kitchen --model after --compare before --first 280 --out report
  depth_ros evaluate --bag unseen_room --model my_model --train-bags rooms/*
  depth_ros evaluate --bag drive --model my_model --lidar /points --protocol kitti-eigen
  depth_ros evaluate --bag portraits --model my_model --masks /masks
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from pathlib import Path

from depth_ros.bags import Selection
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.options import (
    add_focal_option,
    add_model_options,
    add_motion_option,
    add_scale_options,
    add_selection_options,
    add_topic_options,
    odometry_settings_of,
    open_model,
    scale_settings_of,
    selection_of,
)
from depth_ros.cli.progress import Progress
from depth_ros.evaluation.comparison_pages import (
    comparison_to_json,
    comparison_to_page,
    comparison_to_text,
)
from depth_ros.evaluation.evaluate import compare, evaluate
from depth_ros.evaluation.lidar import OcclusionRule
from depth_ros.evaluation.metrics import DepthRange
from depth_ros.evaluation.pages import to_json, to_page, to_text
from depth_ros.evaluation.protocol import DepthProtocol, ProtocolKind
from depth_ros.evaluation.report import Page
from depth_ros.evaluation.request import EvaluationRequest, LidarTruth
from depth_ros.system.whole_files import write_whole

NAME = 'evaluate'
HELP = 'measure depth and egomotion of a model on a bag with ground truth'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('--bag', type=Path, required=True,
                        help='bag with images, camera_info, and true depth, odometry or masks')
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help='write metrics.json and index.html with pictures into this folder')
    parser.add_argument('--json', action='store_true', help='print metrics.json, not tables')
    parser.add_argument('--compare', metavar='FOLDER|NAME',
                        help='a model to compare with: what --model was before')
    _add_protocol_options(parser)
    add_model_options(parser)
    add_motion_option(parser)
    add_focal_option(parser)
    add_scale_options(parser, default=None)
    add_selection_options(parser)
    guesses = parser.add_argument_group(
        'frames that the guesses know (default: those before the evaluated ones)')
    guesses.add_argument('--train-first', type=int, metavar='N', help='first of them, from 0')
    guesses.add_argument('--train-last', type=int, metavar='N',
                         help='the frame after the last of them (default: the first evaluated '
                             'one)')
    guesses.add_argument('--train-bags', type=Path, nargs='+', metavar='BAG', default=[],
                         help='other bags that the model was trained on, all of their frames')
    topics = add_topic_options(parser)
    topics.add_argument('--depth', metavar='TOPIC', help='true depth images')
    topics.add_argument('--masks', metavar='TOPIC',
                        help='foreground masks of the rectified image in any size, raw or PNG: '
                             'grey of 8 or 16 bits, black to white, or the alpha of colour '
                             '(default: none)')
    topics.add_argument('--odometry', metavar='TOPIC',
                        help='true path: nav_msgs/Odometry or geometry_msgs/PoseStamped')
    _add_lidar_options(parser)


def _add_protocol_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('rules')
    group.add_argument('--protocol', choices=[kind.value for kind in ProtocolKind],
                       default=ProtocolKind.PLAIN.value,
                       help="kitti-eigen: only inside Garg's crop, as figures on KITTI are "
                            'published (default: %(default)s)')
    group.add_argument('--min-depth', type=float, metavar='M',
                       default=DepthRange().min_m,
                       help='nearest truth that counts (default: %(default)s m)')
    group.add_argument('--max-depth', type=float, metavar='M',
                       default=DepthRange().max_m,
                       help='farthest truth that counts (default: %(default)s m)')
    group.add_argument('--post-process', action='store_true',
                       help='blend the depth with that of the mirrored image, as published '
                            'figures marked pp do; takes twice the time')


def _add_lidar_options(parser: argparse.ArgumentParser) -> None:
    rule, truth = OcclusionRule(), LidarTruth()
    group = parser.add_argument_group('LiDAR truth')
    group.add_argument('--lidar', metavar='TOPIC',
                       help='sensor_msgs/PointCloud2 (default: the only one, where the bag has '
                            'no depth images)')
    group.add_argument('--lidar-in-camera', type=float, nargs=6,
                       metavar=('X', 'Y', 'Z', 'ROLL', 'PITCH', 'YAW'),
                       help='its place in m and rad along x forward, y left, z up of the camera '
                            '(default: by /tf_static and /tf)')
    group.add_argument('--lidar-tolerance', type=float, metavar='S', default=truth.tolerance_s,
                       help='a cloud this close in time belongs to a frame (default: '
                            '%(default)s s)')
    group.add_argument('--lidar-reach', type=float, metavar='DEG', default=rule.reach_deg,
                       help='points between nearer ones this close on opposite sides are taken '
                            'for hidden; more than the gap between beams (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Evaluate, print and write."""
    request = _request(args)
    with ExitStack() as stack:
        after, *before = (
            stack.enter_context(closing(open_model(name, args, blend_mirrored=args.post_process)))
            for name in (args.model, args.compare) if name is not None)
        progress = stack.enter_context(Progress('evaluated'))
        if before:
            comparison = compare(request, before[0], after, progress.update)
            page, text = comparison_to_page(comparison), comparison_to_text(comparison)
            values = comparison_to_json(comparison)
        else:
            evaluation = evaluate(request, after, progress.update)
            page, text, values = to_page(evaluation), to_text(evaluation), to_json(evaluation)
    try:
        if args.out is not None:
            _write(page, values, args.out)
    finally:
        print(values if args.json else text)  # also where the disk is full: they took long
    return 0


def _request(args: argparse.Namespace) -> EvaluationRequest:
    selection = selection_of(args)
    pose = args.lidar_in_camera
    return EvaluationRequest(
        bag=args.bag,
        selection=selection,
        training=_training(args, selection),
        training_bags=tuple(args.train_bags),
        protocol=DepthProtocol.of(ProtocolKind(args.protocol),
                                  DepthRange(args.min_depth, args.max_depth)),
        rectify=RectifyMode(args.rectify),
        image_topic=args.image,
        camera_info_topic=args.camera_info,
        depth_topic=args.depth,
        lidar=LidarTruth(
            topic=args.lidar,
            in_camera=None if pose is None else tuple(pose),
            occlusion=OcclusionRule(reach_deg=args.lidar_reach),
            tolerance_s=args.lidar_tolerance,
        ),
        odometry_topic=args.odometry,
        mask_topic=args.masks,
        scale=scale_settings_of(args),
        scale_smoothing_s=args.scale_smoothing,
        scale_odometry_topic=args.scale_odometry,
        allow_estimated_focal=args.allow_estimated_focal,
        odometry=odometry_settings_of(args),
    )


def _training(args: argparse.Namespace, selection: Selection) -> Selection | None:
    """The frames named, which end before the judged ones where no end is named."""
    first = args.train_first or 0
    if args.train_last is not None:
        return Selection(first, args.train_last)
    if args.train_first is None and not selection.first and not selection.from_s:
        return None
    # Frames named after the judged ones go to the end; those among them are refused.
    end = selection.first if first < selection.first else None
    return Selection(first, end, None, selection.from_s or None)


def _write(page: Page, values: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / 'metrics.json', values)
    page.write(folder / 'index.html')
