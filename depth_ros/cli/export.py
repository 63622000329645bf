"""Make a model folder of a training run, or a half-precision or 8-bit one of a model.

Of the workdir of a training run: exports its best checkpoint so far, also while it goes on.
Of a model: writes a copy of it in half precision, or in 8 bits calibrated on a bag. The graphs are
compared with torch on sample frames before the folder appears, 8-bit ones also with single
precision on the last fifth of the frames given, which are not calibrated on.

  depth_ros export runs/my_model --out my_model
  depth_ros export my_model --precision fp16 --out my_model_fp16
  depth_ros export my_model --precision int8 --bag my_bag --out my_model_int8
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.options import add_topic_options
from depth_ros.cli.train import parse_bag
from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Precision

if TYPE_CHECKING:
    from training.config import BagSource

NAME = 'export'
HELP = 'make a model folder of a training run, or an fp16 or int8 one of a model'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('source', type=Path, help='workdir of a run, or a model folder or name')
    parser.add_argument('--out', type=Path, required=True, help='model folder to make')
    parser.add_argument(
        '--precision', choices=[precision.value for precision in Precision],
        help='of the graphs (default: as the run was configured)',
    )  # fmt: skip
    parser.add_argument(
        '--bag', metavar='BAG[:FIRST-LAST]',
        help='int8: frames of the camera and the places that the model is for',
    )  # fmt: skip
    topics = add_topic_options(parser)
    topics.add_argument('--depth', metavar='TOPIC', help='true depth images, for the report')


def run(args: argparse.Namespace) -> int:
    """Export; 0 when the model was written."""
    precision = Precision(args.precision) if args.precision else None
    if (precision is Precision.INT8) != (args.bag is not None):
        raise ConfigError('--precision int8 is calibrated on a bag, give --bag BAG; nothing else '
                          'takes one')
    try:
        from training.export.model_folder import convert_to_half
        from training.export.of_run import export_run
        from training.int8.quantize import convert_to_int8
        from training.train import CONFIG_FILE
    except ImportError as error:
        raise ConfigError(
            f'exporting needs more than the runtime ({error}); install it with: '
            "pip install 'depth_ros[training]'"
        ) from None
    if (args.source / CONFIG_FILE).is_file():
        if precision is Precision.INT8:
            raise ConfigError(f'{args.source} is a run: export it first, and then its model with '
                              '--precision int8')
        export_run(args.source, args.out, precision, print)
        return 0
    model = Model.load(args.source)
    if precision is Precision.INT8:
        rectify = RectifyMode(args.rectify)
        print(convert_to_int8(model, _bag(args), rectify, args.out, print).summary())
    elif precision is Precision.FP16:
        print(convert_to_half(model, args.out).summary())
    else:
        raise ConfigError(f'{model.path} is a model already; --precision fp16 or int8 makes '
                          'another of it')
    return 0


def _bag(args: argparse.Namespace) -> BagSource:
    return replace(
        parse_bag(args.bag),
        image_topic=args.image,
        camera_info_topic=args.camera_info,
        depth_topic=args.depth,
    )
