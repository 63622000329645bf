"""Run player, depth node and collector as separate processes over DDS, and show what comes out.

Without --bag a synthetic scene is rendered first, with exact depth and poses to compare with.
--out gets summary.json, pictures, index.html and the logs of both processes.

    depth_ros demo
    depth_ros demo --bag my_bag --image /camera/image_raw --model my_model
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

from depth_ros.cli.progress import Progress
from depth_ros.demo.run import DemoRequest, run_demo
from depth_ros.demo.scene import SCENE_FRAMES, open_scene, render_scene
from depth_ros.demo.summary import Summary
from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model

NAME = 'demo'
HELP = 'play a scene to the node over DDS and report depth, path, latency'

_RATES_HZ = (0.5, 120.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('--bag', type=Path,
                        help='bag of your own; without it a scene is rendered')
    parser.add_argument('--image', metavar='TOPIC',
                        help='image topic (default: the only one of the bag)')
    parser.add_argument('--camera-info', metavar='TOPIC',
                        help='camera_info topic (default: the one beside the image)')
    parser.add_argument('--depth', metavar='TOPIC',
                        help='true depth to compare with (default: the only one of the bag)')
    parser.add_argument('--odometry', metavar='TOPIC',
                        help='true path to compare with (default: the only one of the bag)')
    parser.add_argument('--model', default=DEFAULT_MODEL,
                        help='model folder or name (default: %(default)s)')
    parser.add_argument('--rate', type=float, default=15.0, metavar='HZ',
                        help='images a second (default: %(default)g)')
    parser.add_argument('--out', type=Path, default=Path('demo_out'),
                        help='folder of the report (default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 where at least one frame was answered."""
    lowest, highest = _RATES_HZ
    if not (math.isfinite(args.rate) and lowest <= args.rate <= highest):
        raise ConfigError(f'rate {args.rate:g} Hz must be {lowest:g} to {highest:g}')
    started = time.monotonic()

    def tell(text: str) -> None:
        print(f'{time.monotonic() - started:6.1f} s  {text}', flush=True)

    model = Model.load(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    bag = args.bag
    if bag is None:
        bag = args.out / 'scene'
        tell(f'rendering a scene of {SCENE_FRAMES} images')
        with Progress('rendered', SCENE_FRAMES) as progress:
            render_scene(bag, progress.update)
    scene = open_scene(bag, args.image, args.camera_info, args.depth, args.odometry)
    for remark in scene.remarks:
        tell(remark)
    tell(f'starting the depth node with model {model.spec.name}')
    summary = run_demo(DemoRequest(scene, model, args.rate, args.out), tell)
    tell(f'wrote {args.out / "index.html"} and {args.out / "summary.json"}')
    print(_as_text(summary))
    return 0


def _as_text(summary: Summary) -> str:
    lines = [
        f'frames: {summary.frames_in} in, {summary.frames_out} out ({summary.answered:.1%}), '
        f'{summary.frames_overtaken} overtaken, {summary.frames_refused} refused, '
        f'{summary.frames_lost} lost',
        f'latency: p50 {summary.latency_ms.p50:g} ms, p95 {summary.latency_ms.p95:g} ms',
        f'model: {summary.model} on {summary.backend}, scale from {summary.scale_source}',
    ]
    depth, path = summary.accuracy.depth, summary.accuracy.path
    if depth is not None:
        lines.append(f'depth: AbsRel {depth.abs_rel:.3f}, d1 {depth.d1:.3f} after median scaling '
                     f'(a constant: {depth.constant_abs_rel:.3f}, {depth.constant_d1:.3f})')
    if path is not None:
        ates = ', '.join(f'{ate:.3f} m ({name})' for name, ate in path.ate_m.items())
        lines.append(f'path: ATE {ates} of {path.path_m:.2f} m')
        if path.caveat:
            lines.append(f'path: {path.caveat}')
    return '\n'.join(lines)
