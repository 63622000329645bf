"""Make a model folder of a training run, or a half-precision one of a model.

Of the workdir of a training run: exports its best checkpoint so far, also while it goes on.
Of a model: writes a copy of it in half precision. Either way the graphs are compared with torch
on sample frames before the folder appears.

  depth_ros export runs/my_model --out my_model
  depth_ros export my_model --precision fp16 --out my_model_fp16
"""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_ros.errors import ConfigError
from depth_ros.model import Model, Precision

NAME = 'export'
HELP = 'make a model folder of a training run, or an fp16 one of a model'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('source', type=Path, help='workdir of a run, or a model folder or name')
    parser.add_argument('--out', type=Path, required=True, help='model folder to make')
    parser.add_argument(
        '--precision', choices=[Precision.FP32.value, Precision.FP16.value],
        help='of the graphs (default: as the run was configured)',
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Export; 0 when the model was written."""
    precision = Precision(args.precision) if args.precision else None
    try:
        from training.export import convert_to_half
        from training.export_run import export_run
        from training.train import CONFIG_FILE
    except ImportError as error:
        raise ConfigError(
            f'exporting needs more than the runtime ({error}); install it with: '
            "pip install 'depth_ros[training]'"
        ) from None
    if (args.source / CONFIG_FILE).is_file():
        export_run(args.source, args.out, precision, print)
        return 0
    model = Model.load(args.source)
    if precision is not Precision.FP16:
        raise ConfigError(f'{model.path} is a model already; --precision fp16 makes another of it')
    print(convert_to_half(model, args.out).summary())
    return 0
