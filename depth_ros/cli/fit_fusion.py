"""Make a model whose depth is combined from crops of the image, frequency by frequency.

Any metric model is asked for depth of the whole image and of its four corners at several sizes,
mirrored and not; what each of these candidates tells best is found on a bag with true depth (Lee
et al., Single-Image Depth Estimation Based on Fourier Domain Analysis, CVPR 2018). The new model
is one graph with everything inside. Fit on frames that the network was not trained on, many places
rather than many frames of one, and judge on others.

  depth_ros fit-fusion --bag my_bag:200-280 --model lite0 --out fused
  depth_ros fit-fusion --bag a --bag b --model den --ratios 1 0.8 0.6 --grid 96x72 --out fused
  depth_ros evaluate --bag my_bag --first 280 --model fused --compare lite0
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.options import add_topic_options
from depth_ros.cli.train import parse_bag
from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import Model

NAME = 'fit-fusion'
HELP = 'make a model that combines depth of several crops, fitted on a bag with true depth'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('--bag', action='append', required=True, metavar='BAG[:FIRST-LAST]',
                        help='with true depth; may be given several times')
    parser.add_argument('--model', required=True, help='model folder or name')
    parser.add_argument('--out', type=Path, required=True, help='model folder to make')
    parser.add_argument(
        '--ratios', type=float, nargs='+', metavar='RATIO',
        help='sides of the crops to those of the image, 1 first; every further one costs four '
        "crops (default: 1 to 0.6 in steps of 0.05, the paper's)",
    )  # fmt: skip
    parser.add_argument('--no-mirrored', action='store_true',
                        help='do without mirrored crops, for half the cost')
    parser.add_argument('--crop-from', type=parse_size, metavar='WxH',
                        help='size of the picture that is cropped (default: such that the '
                        'smallest crops have the size of the network)')
    parser.add_argument('--grid', type=parse_size, metavar='WxH',
                        help="size of the combined depth (default: of the network's)")
    parser.add_argument('--max-bins', type=int, metavar='N',
                        help='fit only so many of the lowest frequencies (default: all)')
    parser.add_argument(
        '--ridge', type=float, metavar='SHARE',
        help='draws the weights of every frequency to those that all share; inf: there are no '
        "others, 0: the paper's (default: chosen by cross-validation)",
    )  # fmt: skip
    parser.add_argument(
        '--bias', type=float, metavar='SHARE',
        help="share of the candidates' mean errors that is taken away, 0 to 1, the paper's "
        '(default: chosen by cross-validation)',
    )  # fmt: skip
    parser.add_argument(
        '--frame-weight', choices=['rmse', 'equal'], default='rmse',
        help='frames count by the inverse of the RMSE of their depth without combination, so that '
        "a few that are far off do not rule; equal: the paper's (default: %(default)s)",
    )  # fmt: skip
    topics = add_topic_options(parser)
    topics.add_argument('--depth', metavar='TOPIC', help='true depth images')


def run(args: argparse.Namespace) -> int:
    """Fit; 0 when the model was written."""
    try:
        from training.fusion.fit_fusion import FrameWeight, FusionSettings, fit_fusion
    except ImportError as error:
        raise ConfigError(
            f'fitting needs more than the runtime ({error}); install it with: '
            "pip install 'depth_ros[training]'"
        ) from None
    settings = FusionSettings(
        mirrored=not args.no_mirrored,
        image=args.crop_from,
        grid=args.grid,
        max_bins=args.max_bins,
        frame_weight=FrameWeight(args.frame_weight),
        ridge=args.ridge,
        bias=args.bias,
    )
    if args.ratios is not None:
        settings = replace(settings, ratios=tuple(args.ratios))
    sources = tuple(
        replace(
            parse_bag(text),
            image_topic=args.image,
            camera_info_topic=args.camera_info,
            depth_topic=args.depth,
        )
        for text in args.bag
    )
    rectify = RectifyMode(args.rectify)
    report = fit_fusion(Model.load(args.model), sources, rectify, settings, args.out, print)
    print(report.summary())
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT in pixels.

    Raises:
        argparse.ArgumentTypeError: it is not.
    """
    width, _, height = text.partition('x')
    if not (width.isdigit() and height.isdigit()) or min(int(width), int(height)) < 8:
        raise argparse.ArgumentTypeError(f'{text!r} is no WIDTHxHEIGHT, each 8 or more')
    return int(width), int(height)
