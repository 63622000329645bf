"""Make a model folder of published weights.

Reads an official Monodepth2 folder (encoder.pth, depth.pth, and where they are there
pose_encoder.pth and pose.pth), an official FeatDepth file or that of Depth Pro, checks every key
and shape, and writes a model folder. Monodepth2's files say their input size and whether a stereo
rig was used; FeatDepth's do not. Models that were trained with a stereo rig give metres; Depth Pro
does by the focal length of any camera, and sees that itself where its file has the field-of-view
head.

  depth_ros import monodepth2 mono+stereo_640x192 --out models/kitti
  depth_ros import monodepth2 my_stereo_model --baseline 0.12 --fx-norm 0.8 --out models/mine
  depth_ros import featdepth fm_depth.pth --out models/featdepth
  depth_ros import featdepth euroc.pth --width 768 --height 480 --max-depth 50 --out models/euroc
  depth_ros import depth_pro depth_pro.pt --precision fp16 --out models/depth_pro

Monodepth2's published weights are for non-commercial use only, Depth Pro's for research only.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import Precision

if TYPE_CHECKING:
    from training.export.model_folder import ExportReport

NAME = 'import'
KITTI_BASELINE_M = 0.54
HELP = 'make a model folder of published weights'
_MONODEPTH2, _FEATDEPTH, _DEPTH_PRO = 'monodepth2', 'featdepth', 'depth_pro'
_TAKEN_BY = {
    'baseline': (_MONODEPTH2, _FEATDEPTH),
    'fx_norm': (_MONODEPTH2, _FEATDEPTH),
    'fy_norm': (_MONODEPTH2, _FEATDEPTH),
    'width': (_FEATDEPTH,),
    'height': (_FEATDEPTH,),
    'stereo': (_FEATDEPTH,),
    'max_depth': (_FEATDEPTH, _DEPTH_PRO),
    'no_fov': (_DEPTH_PRO,),
}
"""Which families take an option; --precision and --out are for all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument(
        'family', choices=[_MONODEPTH2, _FEATDEPTH, _DEPTH_PRO], help='whose they are'
    )
    parser.add_argument('source', type=Path, help='folder or file of the published weights')
    parser.add_argument('--out', type=Path, required=True, help='model folder to make')
    parser.add_argument(
        '--precision', choices=[Precision.FP32.value, Precision.FP16.value],
        default=Precision.FP32.value, help='of the graphs (default: fp32)',
    )  # fmt: skip
    group = parser.add_argument_group('monodepth2 and featdepth')
    group.add_argument(
        '--baseline', type=float, metavar='METRES',
        help='of the stereo rig trained with (default: 0.54, KITTI)',
    )  # fmt: skip
    group.add_argument(
        '--fx-norm', type=float, metavar='RATIO',
        help='fx of the training camera / image width (default: 0.58, KITTI)',
    )  # fmt: skip
    group.add_argument(
        '--fy-norm', type=float, metavar='RATIO',
        help='fy of the training camera / image height (default: 1.92, KITTI)',
    )  # fmt: skip
    group = parser.add_argument_group('featdepth')
    group.add_argument('--width', type=int, metavar='PIXELS', help='of its input (default: 1024)')
    group.add_argument('--height', type=int, metavar='PIXELS', help='likewise (default: 320)')
    group.add_argument(
        '--stereo', action='store_true',
        help='it was trained with a stereo rig, which --baseline implies',
    )  # fmt: skip
    group = parser.add_argument_group('featdepth and depth_pro')
    group.add_argument(
        '--max-depth', type=float, metavar='UNITS',
        help='end of its range (default: 100; of depth_pro 200 m, beyond which depth is unknown)',
    )  # fmt: skip
    group = parser.add_argument_group('depth_pro')
    group.add_argument(
        '--no-fov', action='store_true',
        help='without the field-of-view head: a third smaller, for calibrated cameras alone',
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Import; 0 when the model was written."""
    _refuse_foreign(args)
    try:
        from training.official import import_depth_pro, import_featdepth, import_monodepth2
    except ImportError as error:
        raise ConfigError(
            f'importing weights needs more than the runtime ({error}); install it with: '
            "pip install 'depth_ros[training]'"
        ) from None
    precision = Precision(args.precision)
    report: ExportReport
    if args.family == _DEPTH_PRO:
        wanted = import_depth_pro.DepthProImport()
        report = import_depth_pro.import_depth_pro(
            args.source,
            args.out,
            import_depth_pro.DepthProImport(
                precision, not args.no_fov, _given(args.max_depth, wanted.max_depth_m)
            ),
        )
    elif args.family == _FEATDEPTH:
        baseline_m = args.baseline
        if args.stereo and baseline_m is None:
            baseline_m = KITTI_BASELINE_M
        usual = import_featdepth.FeatDepthImport()
        report = import_featdepth.import_featdepth(
            args.source,
            args.out,
            import_featdepth.FeatDepthImport(
                precision,
                _given(args.width, usual.width),
                _given(args.height, usual.height),
                _given(args.fx_norm, usual.fx_norm),
                _given(args.fy_norm, usual.fy_norm),
                baseline_m,
                _given(args.max_depth, usual.max_depth),
            ),
        )
    else:
        plain = import_monodepth2.Monodepth2Import()
        report = import_monodepth2.import_monodepth2(
            args.source,
            args.out,
            import_monodepth2.Monodepth2Import(
                precision,
                _given(args.fx_norm, plain.fx_norm),
                _given(args.fy_norm, plain.fy_norm),
                args.baseline,
            ),
        )
    print(report.summary())
    return 0


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _refuse_foreign(args: argparse.Namespace) -> None:
    """Options that the files of a family answer themselves, or that mean nothing to it."""
    for name, families in _TAKEN_BY.items():
        if args.family not in families and getattr(args, name) not in (None, False):
            option = f'--{name.replace("_", "-")}'
            raise ConfigError(f'{option} is for {" and ".join(families)} alone')
