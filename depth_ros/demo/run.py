"""Runs the demo: starts the processes, collects, compares with the truth, writes the report."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from depth_ros.bags import read_frames
from depth_ros.demo.accuracy import depth_accuracy, path_accuracy
from depth_ros.demo.answers import Answers
from depth_ros.demo.page import Shot, make_page, top_view, write_pictures
from depth_ros.demo.processes import Child, ProcessError, start
from depth_ros.demo.scene import Scene
from depth_ros.demo.summary import (
    Accuracy,
    Summary,
    depth_figures,
    latency,
    path_figures,
)
from depth_ros.errors import DepthRosError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.system import transport
from depth_ros.system.ros_distro import ros_distro
from depth_ros.system.ros_domain import pick_free_domain
from depth_ros.system.whole_files import write_whole

if TYPE_CHECKING:
    from depth_ros.demo.collector import Collector

START_SECONDS = 60.0
"""Both find each other, and the node begins to load its model."""
QUIET_SECONDS = 2.0
"""After the player ended, frames in flight arrive within this."""
KEPT_DEPTHS, SHOTS = 45, 3
POINT_STRIDE = 4
COMPRESSED = '/compressed'
MODEL_TROUBLE = 'wrong: model'
"""Key of the node's diagnostics; no waiting mends a model."""


@dataclass(frozen=True)
class DemoRequest:
    """What to run."""

    scene: Scene
    model: Model
    rate_hz: float
    out: Path


@dataclass(frozen=True)
class Run:
    """What came of it, before anything is computed."""

    answers: Answers
    published_ns: dict[int, int]
    """When each stamp was published, by the machine's monotonic clock."""
    torch_imported: bool
    middleware: str


def run_demo(request: DemoRequest, tell: Callable[[str], None]) -> Summary:
    """Play, collect, compare and write the report.

    Raises:
        ProcessError: the player or the node ended badly.
        DepthRosError: the node did not answer, or reports why it cannot.
    """
    os.environ.update(_graph_of_its_own())
    transport.use_profile()
    run = _play(request, tell)
    if not run.answers.received_ns:
        raise DepthRosError(
            f'the node answered none of {len(run.published_ns)} images; it says: '
            f'{_complaints(run.answers) or "nothing"}; see {request.out / "node.log"}'
        )
    tell('comparing with the truth of the bag')
    return _report(request, run)


def _graph_of_its_own() -> dict[str, str]:
    """Environment of a ROS graph that no other process on the network takes part in."""
    variables = {
        'ROS_DOMAIN_ID': str(pick_free_domain()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    if ros_distro(os.environ) == 'humble':  # it does not know the other variable yet
        variables['ROS_LOCALHOST_ONLY'] = '1'
    return variables


def _play(request: DemoRequest, tell: Callable[[str], None]) -> Run:
    """Run node and player beside a collector until every frame had its chance."""
    from depth_ros.demo.collector import Collector, middleware

    scene, out = request.scene, request.out
    with (
        Collector(scene.spread(KEPT_DEPTHS), scene.spread(SHOTS)) as collector,
        start('depth node', _node_command(request), {}, out / 'node.log') as node,
    ):
        answers = collector.answers
        _wait_until_ready(collector, node, tell)
        tell(f'playing {len(scene.stamps_ns)} images at {request.rate_hz:g} Hz')
        log = out / 'published.csv'
        with start('player', _player_command(request, log), {}, out / 'player.log') as player:
            while not player.finished():
                collector.spin(0.1)
                node.require_running()
        _drain(collector.spin, answers, node)
        return Run(answers, _read_publish_log(log), node.loaded_torch(), middleware())


def _wait_until_ready(collector: Collector, node: Child, tell: Callable[[str], None]) -> None:
    """Wait while the node is at work on its model, and not much longer."""
    answers, said = collector.answers, ''
    deadline = time.monotonic() + START_SECONDS
    while not collector.node_is_ready():
        collector.spin(0.1)
        node.require_running()
        if collector.node_is_loading():
            deadline = time.monotonic() + START_SECONDS
            if answers.condition != said:
                said = answers.condition
                tell(f'the node: {said}')
        if MODEL_TROUBLE in answers.diagnostics or time.monotonic() > deadline:
            raise DepthRosError(
                f'the node does not get ready; it says: {_complaints(answers) or "nothing"}; '
                f'see {node.log}'
            )


def _drain(spin: Callable[[float], None], answers: Answers, node: Child) -> None:
    """Take what is still on its way, and one more diagnostics message for the final counts."""
    before = -1
    while len(answers.received_ns) != before:
        before = len(answers.received_ns)
        spin(QUIET_SECONDS)
        node.require_running()


def _node_command(request: DemoRequest) -> list[str]:
    topics, model = request.scene.topics, request.model
    compressed = topics.image.endswith(COMPRESSED)
    parameters = {
        'model': str(model.path),
        'image_transport': 'compressed' if compressed else 'raw',
        'point_stride': str(POINT_STRIDE),
        # A model without a unit runs only when asked for by name.
        'scale_source': 'model' if model.spec.scale is ScaleKind.METRIC else 'none',
    }
    arguments = [part for key, value in parameters.items() for part in ('-p', f'{key}:={value}')]
    return [
        'depth_ros.node', '--ros-args', *arguments,
        '-r', f'image:={topics.image.removesuffix(COMPRESSED)}',
        '-r', f'camera_info:={topics.camera_info}',
    ]  # fmt: skip


def _player_command(request: DemoRequest, log: Path) -> list[str]:
    scene = request.scene
    speed = request.rate_hz / scene.recorded_rate_hz
    return [
        'depth_ros', 'play', str(scene.bag), '--rate', f'{speed:.6g}',
        '--topics', scene.topics.image, scene.topics.camera_info, '--log', str(log),
    ]  # fmt: skip


def _read_publish_log(path: Path) -> dict[int, int]:
    rows = [line.split(',') for line in path.read_text().splitlines()[1:]]
    return {int(stamp): int(published) for stamp, published in rows}


def _complaints(answers: Answers) -> str:
    wrong = [value for key, value in answers.diagnostics.items() if key.startswith('wrong')]
    return '; '.join(wrong)


def _report(request: DemoRequest, run: Run) -> Summary:
    scene, answers, spec = request.scene, run.answers, request.model.spec
    truths_m: dict[int, np.ndarray] = {}
    depth = depth_accuracy(scene, answers.depths_m, truths_m)
    path = path_accuracy(scene, answers, spec)
    shots = _shots(scene, answers, truths_m)
    from_above = top_view(answers, path, spec.scale is ScaleKind.METRIC)
    summary = _summary(request, run, Accuracy(depth_figures(depth), path_figures(path)), shots[0])
    write_pictures(request.out, shots[len(shots) // 2], from_above)
    latencies_ms = {
        index: 1e-6 * (answers.received_ns[stamp] - run.published_ns[stamp])
        for index, stamp in enumerate(scene.stamps_ns)
        if stamp in answers.received_ns and stamp in run.published_ns
    }
    make_page(summary, shots, from_above, latencies_ms).write(request.out / 'index.html')
    write_whole(request.out / 'summary.json', summary.to_json())
    return summary


def _shots(scene: Scene, answers: Answers, truths_m: dict[int, np.ndarray]) -> list[Shot]:
    """The frames to look at that were answered; any answered one where none of them was."""
    wanted = scene.spread(SHOTS) & answers.depths_m.keys() or set(list(answers.depths_m)[:1])
    shots = [
        Shot(frame.index, frame.image, answers.depths_m[frame.stamp_ns],
             truths_m.get(frame.stamp_ns), answers.confidences.get(frame.stamp_ns))
        for frame in read_frames(scene.bag, scene.topics) if frame.stamp_ns in wanted
    ]  # fmt: skip
    if not shots:
        raise ProcessError('too few frames were answered to show one')
    return shots


def _summary(request: DemoRequest, run: Run, accuracy: Accuracy, shot: Shot) -> Summary:
    scene, answers = request.scene, run.answers
    answered = answers.received_ns.keys() & run.published_ns.keys()
    diagnostics = answers.diagnostics
    return Summary(
        frames_in=len(run.published_ns),
        frames_out=len(answered),
        frames_overtaken=int(diagnostics['frames overtaken']),
        frames_refused=int(diagnostics['frames refused']),
        frames_lost=len(run.published_ns) - int(diagnostics['frames in']),
        answered=round(len(answered) / len(run.published_ns), 4),
        latency_ms=latency(run.published_ns, answers.received_ns),
        accuracy=accuracy,
        rate_hz=request.rate_hz,
        bag=scene.bag.name,
        image_topic=scene.topics.image,
        image_size=(shot.image.shape[1], shot.image.shape[0]),
        frame_ids=tuple(sorted(answers.frame_ids)),
        model=request.model.spec.name,
        backend=diagnostics['backend'],
        scale_source=_scale_source(request, diagnostics),
        torch_imported=run.torch_imported,
        distro=ros_distro(os.environ),
        middleware=run.middleware,
        python=platform.python_version(),
        cores=len(os.sched_getaffinity(0)),
    )


def _scale_source(request: DemoRequest, diagnostics: dict[str, str]) -> str:
    source = diagnostics['scale source']
    return f'model ({request.model.spec.scale_source})' if source == 'model' else source
