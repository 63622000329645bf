"""Make a model folder of published weights.

Reads an official Monodepth2 folder (encoder.pth, depth.pth, and where they are there
pose_encoder.pth and pose.pth), checks every key and shape, and writes a model folder. The input
size is the file's. Models that were trained with a stereo rig give metres.

  depth_ros import monodepth2 mono+stereo_640x192 --out models/kitti
  depth_ros import monodepth2 my_stereo_model --baseline 0.12 --fx-norm 0.8 --out models/mine

The published weights are for non-commercial use only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_ros.errors import ConfigError
from depth_ros.model import Precision

NAME = 'import'
HELP = 'make a model folder of published weights'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('family', choices=['monodepth2'], help='whose files they are')
    parser.add_argument('folder', type=Path, help='folder of the published files')
    parser.add_argument('--out', type=Path, required=True, help='model folder to make')
    parser.add_argument(
        '--baseline', type=float, metavar='METRES',
        help='of the stereo rig trained with (default: 0.54, KITTI)',
    )  # fmt: skip
    parser.add_argument(
        '--fx-norm', type=float, default=0.58, metavar='RATIO',
        help='fx of the training camera / image width (default: 0.58, KITTI)',
    )  # fmt: skip
    parser.add_argument(
        '--fy-norm', type=float, default=1.92, metavar='RATIO',
        help='fy of the training camera / image height (default: 1.92, KITTI)',
    )  # fmt: skip
    parser.add_argument(
        '--precision', choices=[Precision.FP32.value, Precision.FP16.value],
        default=Precision.FP32.value, help='of the graphs (default: fp32)',
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Import; 0 when the model was written."""
    try:
        from training.import_monodepth2 import Monodepth2Import, import_monodepth2
    except ImportError as error:
        raise ConfigError(
            f'importing weights needs more than the runtime ({error}); install it with: '
            "pip install 'depth_ros[training]'"
        ) from None
    settings = Monodepth2Import(
        Precision(args.precision), args.fx_norm, args.fy_norm, args.baseline
    )
    print(import_monodepth2(args.folder, args.out, settings).summary())
    return 0
