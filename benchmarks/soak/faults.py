"""What goes wrong on robots, done to a running node; each ends as it began."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fault_messages import broken_images, broken_infos
from benchmarks.soak.camera import Camera
from benchmarks.soak.listener import Listener
from benchmarks.soak.remote import RemoteNode, wait_until
from depth_ros.demo.processes import start
from depth_ros.errors import DepthRosError

_WHILE_S = 1.5
"""How long a state of the camera or of its listeners lasts."""
_FORGOTTEN_S = 25.0
"""DDS takes a process that was killed for alive for 20 s and keeps what is published for it, 40
MiB of 640x480 pictures and clouds, until the publishers are made anew."""
_FLOOD = 20
"""Calls of one flood, six parameters each."""


@dataclass(frozen=True)
class Site:
    """Everything that faults are done with."""

    camera: Camera
    listener: Listener
    remote: RemoteNode
    models: tuple[Path, Path]
    """Two folders of the same model: swapping must not change an answer."""
    garbage: Path
    """A model folder whose graph is none."""
    folder: Path
    """For logs."""
    swaps: itertools.count = field(default_factory=itertools.count)


@dataclass(frozen=True)
class Fault:
    """One kind, by name."""

    name: str
    act: Callable[[Site], None]


def _malformed_images(site: Site) -> None:
    for image in broken_images(site.camera.good_image()).values():
        site.camera.send(image, None)
        time.sleep(0.05)


def _bad_calibration(site: Site) -> None:
    # In a frame of their own: the good camera_info would serve otherwise.
    for number, info in enumerate(broken_infos(site.camera.good_info()).values()):
        image = site.camera.good_image()
        image.header.frame_id = info.header.frame_id = f'broken_{number}'
        site.camera.send(image, info)
        time.sleep(0.05)


def _no_calibration(site: Site) -> None:
    image = site.camera.good_image()
    image.header.frame_id = 'unknown'
    for _ in range(5):
        site.camera.send(image, None)
        time.sleep(0.05)


def _other_resolution(site: Site) -> None:
    site.camera.shrunk = True
    time.sleep(_WHILE_S)
    site.camera.shrunk = False


def _time_jumps(site: Site) -> None:
    for seconds in (-10.0, 1000.0, -1000.0, 3600.0, 0.1, -0.1):
        site.camera.jump(seconds)
        time.sleep(0.3)


def _same_stamps(site: Site) -> None:
    site.camera.repeat_stamps(True)
    time.sleep(_WHILE_S)
    site.camera.repeat_stamps(False)


def _burst(site: Site) -> None:
    site.camera.rate_hz = 10 * site.camera.usual_rate_hz
    time.sleep(_WHILE_S)
    site.camera.rate_hz = site.camera.usual_rate_hz


def _nobody_listens(site: Site) -> None:
    site.listener.leave()
    time.sleep(_WHILE_S)
    site.listener.listen()


def _visitor(site: Site, kill: bool) -> None:
    log = site.folder / 'visitor.log'
    with start('visitor', ['benchmarks.soak.visitor'], {}, log) as visitor:
        time.sleep(2 * _WHILE_S)  # its start takes half of it
        visitor.require_running()
        if kill:
            os.kill(visitor.pid, signal.SIGKILL)


def _parameter_flood(site: Site) -> None:
    for number in range(_FLOOD):
        taken = site.remote.set({
            'min_confidence': 0.1 * (number % 10),
            'point_stride': 1 + number % 4,
            'output_size': 'network' if number % 2 else 'camera',
            'camera_height': -1.0,
            'scale_source': 'guess',
            'threads': 100_000,
        })  # fmt: skip
        if taken != (True, True, True, False, False, False):
            raise DepthRosError(f'of a flood of parameters these were taken: {taken}')
    site.remote.set({'min_confidence': 0.0, 'point_stride': 1, 'output_size': 'camera'})


def _model_swap(site: Site) -> None:
    model = str(site.models[next(site.swaps) % 2])
    if site.remote.set({'model': model}) != (True,):
        raise DepthRosError(f'model {model} was refused')
    wait_until(
        lambda: f'({model})' in site.listener.diagnostics.get('model', '')
        and site.listener.diagnostics['backend'] not in ('none', 'loading'),
        f'model {model}',
    )


def _bad_models(site: Site) -> None:
    for model in (site.garbage, site.folder / 'no such model'):
        site.remote.set({'model': str(model)})
        time.sleep(0.3)
    _model_swap(site)


def _activate_again(site: Site) -> None:
    _transitions(site, 'deactivate', 'activate')


def _rest(site: Site) -> None:
    time.sleep(_FORGOTTEN_S)
    _transitions(site, 'deactivate', 'cleanup', 'configure', 'activate')


def _transitions(site: Site, *labels: str) -> None:
    for label in labels:
        if not site.remote.transition(label):
            raise DepthRosError(f'transition {label} was refused')


def _odometry_resets(site: Site) -> None:
    for _ in range(20):
        if not site.remote.reset():
            raise DepthRosError('a reset was refused')


REST = Fault('cleanup, configure', _rest)
"""Ends each round: the node lets go of all that the faults before left."""

FAULTS = (
    Fault('malformed images', _malformed_images),
    Fault('bad camera_info', _bad_calibration),
    Fault('missing camera_info', _no_calibration),
    Fault('another resolution', _other_resolution),
    Fault('stamps jump', _time_jumps),
    Fault('stamps repeat', _same_stamps),
    Fault('ten times the rate', _burst),
    Fault('nobody listens', _nobody_listens),
    Fault('a listener comes and goes', lambda site: _visitor(site, kill=False)),
    Fault('a listener is killed', lambda site: _visitor(site, kill=True)),
    Fault('parameter flood', _parameter_flood),
    Fault('model swap', _model_swap),
    Fault('bad models', _bad_models),
    Fault('odometry resets', _odometry_resets),
    Fault('deactivate, activate', _activate_again),
)
