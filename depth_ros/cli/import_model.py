"""Make a model folder of published weights.

Reads an official Monodepth2 folder (encoder.pth, depth.pth, and where they are there
pose_encoder.pth and pose.pth) or an official FeatDepth file, checks every key and shape, and
writes a model folder. Monodepth2's files say their input size and whether a stereo rig was used;
FeatDepth's do not. Models that were trained with a stereo rig give metres.

  depth_ros import monodepth2 mono+stereo_640x192 --out models/kitti
  depth_ros import monodepth2 my_stereo_model --baseline 0.12 --fx-norm 0.8 --out models/mine
  depth_ros import featdepth fm_depth.pth --out models/featdepth
  depth_ros import featdepth euroc.pth --width 768 --height 480 --max-depth 50 --out models/euroc

Monodepth2's published weights are for non-commercial use only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_ros.errors import ConfigError
from depth_ros.model import Precision

NAME = 'import'
KITTI_BASELINE_M = 0.54
HELP = 'make a model folder of published weights'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('family', choices=['monodepth2', 'featdepth'], help='whose they are')
    parser.add_argument('source', type=Path, help='folder or file of the published weights')
    parser.add_argument('--out', type=Path, required=True, help='model folder to make')
    parser.add_argument(
        '--baseline', type=float, metavar='METRES',
        help='of the stereo rig trained with (default: 0.54, KITTI)',
    )  # fmt: skip
    group = parser.add_argument_group('featdepth')
    group.add_argument('--width', type=int, metavar='PIXELS', help='of its input (default: 1024)')
    group.add_argument('--height', type=int, metavar='PIXELS', help='likewise (default: 320)')
    group.add_argument(
        '--stereo', action='store_true',
        help='it was trained with a stereo rig, which --baseline implies',
    )  # fmt: skip
    group.add_argument(
        '--max-depth', type=float, metavar='UNITS', help='end of its range (default: 100)'
    )
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
        from training.official import import_featdepth, import_monodepth2
    except ImportError as error:
        raise ConfigError(
            f'importing weights needs more than the runtime ({error}); install it with: '
            "pip install 'depth_ros[training]'"
        ) from None
    precision = Precision(args.precision)
    if args.family == 'featdepth':
        baseline_m = args.baseline
        if args.stereo and baseline_m is None:
            baseline_m = KITTI_BASELINE_M
        defaults = import_featdepth.FeatDepthImport()
        settings = import_featdepth.FeatDepthImport(
            precision,
            defaults.width if args.width is None else args.width,
            defaults.height if args.height is None else args.height,
            args.fx_norm,
            args.fy_norm,
            baseline_m,
            defaults.max_depth if args.max_depth is None else args.max_depth,
        )
        report = import_featdepth.import_featdepth(args.source, args.out, settings)
    else:
        _refuse_foreign(args)
        report = import_monodepth2.import_monodepth2(
            args.source,
            args.out,
            import_monodepth2.Monodepth2Import(
                precision, args.fx_norm, args.fy_norm, args.baseline
            ),
        )
    print(report.summary())
    return 0


def _refuse_foreign(args: argparse.Namespace) -> None:
    """Monodepth2's files say these themselves."""
    for name in ('width', 'height', 'max_depth', 'stereo'):
        if getattr(args, name) not in (None, False):
            raise ConfigError(f'--{name.replace("_", "-")} is for featdepth alone')
