"""Measure a model on a bag that holds depth images, ground-truth odometry, or both.

The frames go through the pipeline that the robot runs. Depth is compared with and without median
scaling, the path after named alignments, and beside them stand guesses that use no network: a
model that does not beat them has learned nothing about this place. The guesses that know the
place are made from the training frames, by default those before the evaluated ones.

  depth_ros evaluate --bag kitchen --model my_model --first 280 --out report
"""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from depth_ros.bags import Selection
from depth_ros.camera import RectifyMode
from depth_ros.cli.options import (
    add_model_options,
    add_motion_option,
    add_selection_options,
    add_topic_options,
    open_pipeline,
    selection_of,
)
from depth_ros.cli.progress import Progress
from depth_ros.evaluation.evaluate import Evaluation, EvaluationRequest, evaluate
from depth_ros.evaluation.metrics import DepthRange
from depth_ros.evaluation.pages import to_json, to_page, to_text
from depth_ros.evaluation.report import write_whole

NAME = 'evaluate'
HELP = 'measure depth and egomotion of a model on a bag with ground truth'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('--bag', type=Path, required=True,
                        help='bag with images, camera_info, and depth images or odometry')
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help='write metrics.json and index.html with pictures into this folder')
    parser.add_argument('--json', action='store_true', help='print metrics.json, not tables')
    parser.add_argument('--min-depth', type=float, default=1e-3, metavar='M',
                        help='nearest truth that counts (default: %(default)s m)')
    parser.add_argument('--max-depth', type=float, default=80.0, metavar='M',
                        help='farthest truth that counts (default: %(default)s m)')
    add_model_options(parser)
    add_motion_option(parser)
    add_selection_options(parser)
    guesses = parser.add_argument_group(
        'frames that the guesses know (default: those before the evaluated ones)')
    guesses.add_argument('--train-first', type=int, metavar='N', help='first of them, from 0')
    guesses.add_argument('--train-last', type=int, metavar='N',
                         help='the frame after the last of them')
    topics = add_topic_options(parser)
    topics.add_argument('--depth', metavar='TOPIC', help='true depth images')
    topics.add_argument('--odometry', metavar='TOPIC',
                        help='true path: nav_msgs/Odometry or geometry_msgs/PoseStamped')


def run(args: argparse.Namespace) -> int:
    """Evaluate, print and write."""
    selection = selection_of(args)
    request = EvaluationRequest(
        bag=args.bag,
        selection=selection,
        training=_training(args, selection),
        depth_range=DepthRange(args.min_depth, args.max_depth),
        rectify=RectifyMode(args.rectify),
        image_topic=args.image,
        camera_info_topic=args.camera_info,
        depth_topic=args.depth,
        odometry_topic=args.odometry,
        refine_motion=not args.network_motion,
    )
    with closing(open_pipeline(args)) as pipeline, Progress('evaluated') as progress:
        evaluation = evaluate(request, pipeline, progress.update)
    if args.out is not None:
        _write(evaluation, args.out)
    print(to_json(evaluation) if args.json else to_text(evaluation))
    return 0


def _training(args: argparse.Namespace, selection: Selection) -> Selection | None:
    if args.train_first is not None or args.train_last is not None:
        return Selection(args.train_first or 0, args.train_last)
    if selection.first > 0 or selection.from_s:
        return Selection(0, selection.first or None, None, selection.from_s)
    return None


def _write(evaluation: Evaluation, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / 'metrics.json', to_json(evaluation))
    to_page(evaluation).write(folder / 'index.html')
