"""Train or fine-tune a model on bags of one's own camera."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from depth_ros.errors import ConfigError, DepthRosError
from depth_ros.system.resources import config_file

if TYPE_CHECKING:
    from training.config import BagSource, TrainConfig

NAME = 'train'
METHODS = ('monodepth2', 'featdepth', 'depth_pro', 'den')
TRUTHS = ('measured', 'rendered', 'measured-relative', 'rendered-relative')
HELP = 'train or fine-tune a model on bags'

DESCRIPTION = """\
Learns depth and egomotion from the images of one or several bags, alone or with what truth they
hold, and writes a model folder that the node and the other verbs take.

  depth_ros train --bag my_bag --out my_model
  depth_ros train --bag my_bag --out my_model --init lite0
  depth_ros train --bag my_bag --out my_model --method featdepth
  depth_ros train --bag today --out refined --refine my_model
  depth_ros train --bag a:0-280 --bag b@4 --out m --set loss.depth=1 --set loss.teacher=odometry
  depth_ros train --resume --workdir runs/my_model --out my_model

Everything that can be set stands in the presets, config/training/*.yaml, with comments. Logs
(losses.csv, TensorBoard), pictures and checkpoints go to the workdir.
"""

_BAG = re.compile(r'(?P<path>.+?)(:(?P<first>\d*)-(?P<last>\d*))?(@(?P<weight>[\d.]+))?')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.add_argument(
        '--bag', action='append', default=[], metavar='BAG[:FIRST-LAST][@WEIGHT]',
        help='a bag; of it the images FIRST up to, without, LAST; drawn WEIGHT times as often',
    )  # fmt: skip
    parser.add_argument('--out', type=Path, required=True, help='model folder to make')
    settings = parser.add_mutually_exclusive_group()
    settings.add_argument(
        '--preset', help='name of a preset in config/training, or a YAML file (default: lite0)'
    )
    settings.add_argument(
        '--method', choices=METHODS, help='a published method: the preset of its name'
    )
    parser.add_argument(
        '--set', action='append', default=[], metavar='KEY=VALUE', dest='overrides',
        help='change a value of the preset, for example run.epochs=40',
    )  # fmt: skip
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        '--init', type=Path, metavar='MODEL',
        help='start from a model, an official Monodepth2 folder or FeatDepth file, a checkpoint '
        'or a workdir',
    )  # fmt: skip
    start.add_argument(
        '--refine', type=Path, metavar='MODEL',
        help='a few steps with a model or workdir on these bags: its settings, changed as '
        'config/training/refine.yaml says',
    )  # fmt: skip
    parser.add_argument(
        '--features', type=Path, metavar='RUN',
        help='match the features of an earlier run, its features.pt or an official FeatDepth '
        'file, instead of training some first',
    )  # fmt: skip
    parser.add_argument('--workdir', type=Path, help='folder of the run (default: runs/OUT)')
    parser.add_argument(
        '--resume', action='store_true',
        help='go on from the last checkpoint in the workdir; without --bag as it was begun',
    )  # fmt: skip
    parser.add_argument('--first', type=int, help='first image of every bag, from 0')
    parser.add_argument('--last', type=int, help='the image after the last of every bag')
    parser.add_argument(
        '--truth', choices=TRUTHS, default=TRUTHS[0],
        help='what the depth images of every bag are, for methods that treat truths differently '
        '(default: %(default)s; a preset may say so of each bag)',
    )  # fmt: skip
    group = parser.add_argument_group('topics of every bag (found where there is one choice)')
    group.add_argument('--image', metavar='TOPIC', help='images, raw or compressed')
    group.add_argument('--camera-info', metavar='TOPIC', help='their sensor_msgs/CameraInfo')
    group.add_argument('--depth', metavar='TOPIC', help='depth images, as truth')
    group.add_argument('--odometry', metavar='TOPIC', help='odometry of the camera, as truth')
    group.add_argument('--stereo-image', metavar='TOPIC',
                       help='images of the other camera of a rectified pair (loss.stereo)')
    group.add_argument('--stereo-camera-info', metavar='TOPIC', help='their camera_info')
    group.add_argument('--velocity', metavar='TOPIC',
                       help='odometry or twist that tells the distance travelled (loss.velocity)')


def run(args: argparse.Namespace) -> int:
    """Train; 0 when the model was written."""
    try:
        from training.config import BagTruth
        from training.config.presets import load_config
        from training.model_settings import find_folder
        from training.train import RunPaths, read_run_config, run_training
    except ImportError as error:
        raise DepthRosError(
            f'training needs more than the runtime ({error}); install it with: '
            f"pip install 'depth_ros[training]'"
        ) from None
    workdir = args.workdir or Path('runs') / args.out.name
    config: TrainConfig
    if args.resume and not args.bag:
        if args.overrides:
            raise ConfigError('--set cannot change a run that is resumed; leave it out')
        config = read_run_config(workdir)
    else:
        bags = [
            replace(
                parse_bag(text, args.first, args.last),
                image_topic=args.image,
                camera_info_topic=args.camera_info,
                depth_topic=args.depth,
                odometry_topic=args.odometry,
                stereo_image_topic=args.stereo_image,
                stereo_camera_info_topic=args.stereo_camera_info,
                velocity_topic=args.velocity,
                truth=BagTruth(args.truth),
            )
            for text in args.bag
        ]
        preset, features = _preset(args), args.features
        changes = None
        if args.refine is not None:
            changes = find_preset('refine')
            features = features or find_folder(args.refine)
        overrides = list(args.overrides)
        if features is not None:
            overrides.append(f'features.init={features.absolute()}')
        config = load_config(preset, overrides, bags, changes)
    init = args.init or args.refine
    run_training(config, RunPaths(args.out, workdir, init, args.resume), _tell)
    return 0


def _preset(args: argparse.Namespace) -> Path:
    """What is named, else what the model to refine was trained with, else lite0."""
    name = args.preset or args.method
    if name is None and args.refine is not None:
        from training.model_settings import find_settings

        return find_settings(args.refine)
    return find_preset(name or 'lite0')


def _tell(text: str) -> None:
    print(text, flush=True)


def find_preset(name: str) -> Path:
    """A YAML file as it is, else the installed preset of that name.

    Raises:
        ConfigError: neither; the message lists the presets.
    """
    if name.endswith(('.yaml', '.yml')):
        return Path(name)
    return config_file(f'training/{name}.yaml')


def parse_bag(text: str, first: int | None = None, last: int | None = None) -> BagSource:
    """Read BAG[:FIRST-LAST][@WEIGHT]; `first` and `last` stand in where it gives no range.

    Raises:
        ConfigError: the range or weight makes no sense.
    """
    from training.config import BagSource

    match = _BAG.fullmatch(text)
    if match is None:
        raise ConfigError(f'--bag {text!r} must be BAG[:FIRST-LAST][@WEIGHT]')
    given = match['first'] is not None
    try:
        weight = float(match['weight'] or 1)
    except ValueError:
        raise ConfigError(f'--bag {text!r}: weight {match["weight"]!r} is no number') from None
    begin = int(match['first'] or 0) if given else (first or 0)
    end = (int(match['last']) if match['last'] else None) if given else last
    return BagSource(Path(match['path']), begin, end, weight)
