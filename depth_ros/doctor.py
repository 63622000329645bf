"""Checks whether this machine can run depth_ros: each finding with what to do about it.

Nothing here needs a running ROS graph, and whatever is missing becomes a finding, not an error.
"""

from __future__ import annotations

import enum
import importlib
import os
import platform
import time
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from depth_ros.backends import UNWATCHED, BackendOptions, Loading, open_backend
from depth_ros.backends.engines import gpu
from depth_ros.backends.engines.opening import Machine
from depth_ros.backends.parity import MARGIN, ParityCase, depth_case, motion_case
from depth_ros.errors import BackendError, DepthRosError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.system import transport
from depth_ros.system.ros_distro import ros_distro

TIMED_RUNS = 10


class State(enum.Enum):
    """How bad a finding is."""

    OK = 'ok'
    WARNING = 'warning'
    BROKEN = 'broken'


@dataclass(frozen=True)
class Finding:
    """What one check saw."""

    name: str
    state: State
    found: str
    cure: str = ''
    """What to do, empty where nothing is wrong."""


def examine(model: str = DEFAULT_MODEL, loading: Loading = UNWATCHED) -> list[Finding]:
    """Every check, in the order in which a user would mend what is broken.

    Args:
        model: folder or name of the model to run.
        loading: is told of an engine that has to be built for it.
    """
    return [
        _module('numpy', 'pip install "numpy<2", or apt-get install python3-numpy'),
        _module('cv2', 'pip install "opencv-python-headless<4.12", or python3-opencv from apt'),
        _module('rosbags', 'pip install rosbags'),
        check_ros(),
        _optional('tf2_msgs', 'publish_tf and transforms to a base frame',
                  'apt-get install ros-$ROS_DISTRO-tf2-msgs'),
        *check_transport(),
        check_onnxruntime(),
        check_openvino(),
        check_gpu(),
        check_model(model, loading),
    ]


def check_ros() -> Finding:
    """Whether rclpy loads, of which distro, over which middleware."""
    cure = 'source /opt/ros/<distro>/setup.bash, or `pip install depth_ros[jazzy]` without ROS'
    try:
        rclpy = importlib.import_module('rclpy')
        middleware = rclpy.get_rmw_implementation_identifier()
    except Exception as error:  # a broken middleware raises errors of its own
        return Finding('rclpy', State.BROKEN, _first_line(error), cure)
    distro = ros_distro(os.environ) or '(distro unknown)'
    return Finding('rclpy', State.OK, f'ROS 2 {distro}, {middleware}')


def check_transport() -> list[Finding]:
    """Whether large images get from process to process."""
    problems = transport.find_problems(os.environ)
    if problems:
        # Launch files, demo and play set the profile themselves, so this breaks nothing of ours.
        return [Finding('transport', State.WARNING, p.what, p.cure) for p in problems]
    profile = transport.user_profile(os.environ, Path.cwd())
    size = transport.shared_memory_bytes()
    shared = 'no /dev/shm' if size is None else f'/dev/shm of {size >> 20} MiB'
    return [Finding('transport', State.OK, f'profile {profile}, {shared}')]


def check_onnxruntime() -> Finding:
    """Whether ONNX Runtime loads, and the processors it offers."""
    try:
        onnxruntime = importlib.import_module('onnxruntime')
        providers = ', '.join(onnxruntime.get_available_providers())
    except Exception as error:  # built for another numpy or C library: not only ImportError
        cure = 'pip install onnxruntime (with a CUDA GPU: onnxruntime-gpu)'
        return Finding('onnxruntime', State.BROKEN, _first_line(error), cure)
    return Finding('onnxruntime', State.OK, f'{onnxruntime.__version__}: {providers}')


def check_openvino() -> Finding:
    """Whether the faster runtime for CPUs is there; without it nothing is missing."""
    version = _version('openvino')
    found = 'not installed; ONNX Runtime computes on the CPU' if version is None else version
    return Finding('openvino', State.OK, found)


def check_gpu() -> Finding:
    """Whether a GPU that is there can be used by TensorRT."""
    if not gpu.is_present():
        return Finding('gpu', State.OK, 'no NVIDIA GPU; the CPU computes')
    try:
        machine = Machine.find()
    except BackendError as error:
        return Finding('gpu', State.WARNING, f'an NVIDIA GPU is not used: {error}',
                       'see docs/engines.md for what to install')
    described = f'{machine.gpu.name} ({machine.gpu.compute_capability}), {machine.library}'
    return Finding('gpu', State.OK, described)


def check_model(name: str, loading: Loading = UNWATCHED) -> Finding:
    """Whether a model loads, how long it computes, and whether it answers as it should."""
    label = f'model {name}'
    cure = '`depth_ros models` lists what is there; make one with `depth_ros train` or `import`'
    try:
        model = Model.load(name)
        networks = [_run('depth', model.depth_path, depth_case(model), loading)]
        if model.pose_path is not None:
            networks.append(_run('motion', model.pose_path, motion_case(model), loading))
    except DepthRosError as error:
        return Finding(label, State.BROKEN, str(error), cure)
    milliseconds = sum(network.milliseconds for network in networks)
    found = f'{milliseconds:.1f} ms a frame on {networks[0].runtime}'
    for network in networks:
        if network.caveat:
            return Finding(label, State.WARNING, f'{found}: {network.caveat}')
        if network.difference is None:
            return Finding(label, State.WARNING, f'{found}; no samples to compare with',
                           'export the model again: its folder has no samples.npz')
        if not network.difference <= MARGIN * network.tolerance:
            return Finding(
                label, State.BROKEN,
                f'{found}; {network.answers} is off by {network.difference:.2g} of what training '
                'computed',
                'install the version of that runtime that requirements/constraints.txt names, '
                'choose another backend, or export again')
    largest = max(network.difference or 0.0 for network in networks)
    found = f'{found}; equals training to {largest:.1g}'
    if model.spec.scale is ScaleKind.UP_TO_SCALE:
        return Finding(label, State.WARNING, f'{found}; its depth has no unit',
                       'choose where metres come from with the parameter scale_source')
    return Finding(label, State.OK, found)


@dataclass(frozen=True)
class _Network:
    """One network of a model, after it was run on its samples."""

    answers: str
    """What it tells."""
    runtime: str
    caveat: str
    milliseconds: float
    """Of one frame, the median."""
    difference: float | None
    """To what training computed; None where that is not known."""
    tolerance: float


def _run(answers: str, path: Path, case: ParityCase, loading: Loading) -> _Network:
    with closing(open_backend(path, BackendOptions(), lambda: case, loading)) as backend:
        told = case.answers(backend)
        seconds = []
        for index in range(TIMED_RUNS):
            inputs = case.asked(index % len(case), backend.input_names)
            started = time.perf_counter()
            backend.run(inputs)
            seconds.append(time.perf_counter() - started)
        return _Network(
            answers,
            backend.description,
            backend.caveat,
            1e3 * float(np.median(seconds)),
            None if case.expected is None else case.difference(told, case.expected),
            case.tolerance,
        )


def _module(name: str, cure: str) -> Finding:
    """A Python module without which nothing works."""
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a library built for another numpy raises what it likes
        return Finding(name, State.BROKEN, _first_line(error), cure)
    version = getattr(module, '__version__', None) or _version(name) or 'unknown'
    return Finding(name, State.OK, f'{version} (Python {platform.python_version()})')


def _optional(name: str, purpose: str, cure: str) -> Finding:
    """A Python module that some part wants."""
    try:
        importlib.import_module(name)
    except Exception as error:  # as above
        return Finding(name, State.WARNING, f'{_first_line(error)}: no {purpose}', cure)
    return Finding(name, State.OK, purpose)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
