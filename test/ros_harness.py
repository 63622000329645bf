"""Real nodes in processes of their own, and a peer that talks to them over DDS."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter as RclpyParameter
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from benchmarks import fault_messages
from depth_ros.system import transport
from depth_ros.system.ros_domain import pick_free_domain

ROOT = Path(__file__).resolve().parents[1]
FRAME = 'camera_optical_frame'
WAIT_S = 30.0
"""Generous: machines that test are busy, and a wait ends as soon as it may."""

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)


class NodeProcess:
    """A running `python -m MODULE ...`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Use Network.start."""
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """All it printed so far."""
        return self._log.read_text(errors='replace')

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def status(self, seconds: float = WAIT_S) -> int:
        """Wait for its end."""
        return self._process.wait(seconds)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Network:
    """A ROS domain of this test's own on this machine, with the package's DDS profile."""

    def __init__(self, folder: Path, profile: bool = True) -> None:
        """Choose a domain.

        Args:
            folder: for the logs of processes.
            profile: whether processes get the Fast DDS profile.
        """
        self.folder = folder
        self.domain = pick_free_domain()
        plain = {k: v for k, v in os.environ.items() if k not in transport.PROFILE_VARIABLES}
        self.environment = {
            **plain,
            **(transport.profile_variables(plain) if profile else {}),
            'ROS_DOMAIN_ID': str(self.domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            'OMP_NUM_THREADS': '1',
            'PYTHONPATH': os.pathsep.join([str(ROOT), plain.get('PYTHONPATH', '')]),
        }
        self._started = 0

    @contextlib.contextmanager
    def start(self, module: str, *arguments: str) -> Iterator[NodeProcess]:
        """Run `python -m module arguments` until the block ends."""
        self._started += 1
        log = self.folder / f'{module}.{self._started}.log'
        with log.open('wb') as output:
            process = subprocess.Popen(
                [sys.executable, '-m', module, *arguments],
                env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        node = NodeProcess(process, log)
        try:
            yield node
        finally:
            node.end()

    def depth_node(self, *remappings: str, **parameters: Any):
        """Start the depth node with parameters, and remappings written `from:=to`."""
        # The graphs of the tests answer motions that the pictures do not show.
        parameters = {'refine_motion': False, **parameters}
        arguments = ['--ros-args']
        for name, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ['-p', f'{name}:={text}']
        for remapping in remappings:
            arguments += ['-r', remapping]
        return self.start('depth_ros.node', *arguments)


class Peer:
    """A node in the test's own process: publishes images, collects what comes back."""

    def __init__(self, network: Network) -> None:
        """Join the network."""
        self._context = Context()
        with _environment(network.environment):  # Fast DDS reads it when the first node is made
            rclpy.init(context=self._context, domain_id=network.domain)
            self.node = rclpy.create_node('peer', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        self._publishers: dict[str, Any] = {}
        self.diagnostics = self.collect(DiagnosticArray, '/diagnostics')

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        """Leave the network."""
        self._executor.shutdown()
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context, uninstall_handlers=False)

    def other_node(self) -> Any:
        """A node of this process that nobody spins."""
        return rclpy.create_node('other', context=self._context)

    def collect(self, message_type: type, topic: str, qos: QoSProfile = RELIABLE) -> list[Any]:
        """A list that grows with every message."""
        received: list[Any] = []
        self.node.create_subscription(message_type, topic, received.append, qos)
        return received

    def publish(self, topic: str, message: Any, qos: QoSProfile = BEST_EFFORT) -> None:
        """Publish, once somebody listens.

        That the publisher knows its listener does not mean that the listener knows it yet, and
        best effort may lose a message: what must arrive is sent again until it shows.
        """
        if topic not in self._publishers:
            self._publishers[topic] = self.node.create_publisher(type(message), topic, qos)
        publisher = self._publishers[topic]
        wait_for(lambda: publisher.get_subscription_count() > 0, f'a subscriber of {topic}')
        publisher.publish(message)

    def call(self, service_type: type, name: str, request: Any) -> Any:
        """Call a service and wait for its answer."""
        client = self.node.create_client(service_type, name)
        assert client.wait_for_service(WAIT_S), f'no service {name}'
        future = client.call_async(request)
        wait_for(future.done, f'an answer of {name}')
        self.node.destroy_client(client)
        return future.result()

    def state(self, node: str = '/depth_node') -> str:
        """The lifecycle state of a node."""
        return self.call(GetState, f'{node}/get_state', GetState.Request()).current_state.label

    def transition(self, label: str, node: str = '/depth_node') -> bool:
        """Ask for a lifecycle transition."""
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, f'{node}/change_state', request).success

    def set_parameter(self, name: str, value: Any, node: str = '/depth_node') -> Any:
        """Set one parameter; the SetParametersResult."""
        request = SetParameters.Request(parameters=[parameter(name, value)])
        return self.call(SetParameters, f'{node}/set_parameters', request).results[0]

    def set_together(self, values: dict[str, Any], node: str = '/depth_node') -> Any:
        """Set several parameters at once; the SetParametersResult."""
        request = SetParametersAtomically.Request(
            parameters=[parameter(name, value) for name, value in values.items()]
        )
        service = f'{node}/set_parameters_atomically'
        return self.call(SetParametersAtomically, service, request).result

    def get_parameter(self, name: str, node: str = '/depth_node') -> Any:
        """The value that ROS tells of a parameter."""
        request = GetParameters.Request(names=[name])
        (value,) = self.call(GetParameters, f'{node}/get_parameters', request).values
        return parameter_value_to_python(value)

    def diagnosis(self, title: str = 'depth') -> dict[str, str]:
        """The newest diagnostics of the node, or of a camera: key values, 'level', 'message'."""
        wait_for(lambda: self.diagnostics, 'diagnostics')
        statuses = {status.name.rsplit(': ', 1)[1]: status
                    for status in self.diagnostics[-1].status}  # fmt: skip
        status = statuses[title]
        values = {value.key: value.value for value in status.values}
        return {**values, 'level': str(status.level[0]), 'message': status.message}

    def wait_diagnosis(
        self,
        accept: Callable[[dict[str, str]], bool],
        meanwhile: Callable[[], object] = lambda: None,
        title: str = 'depth',
    ) -> dict[str, str]:
        """Wait for diagnostics of a kind; meanwhile is called again and again.

        A node that gets no images for seconds says so, as an error: where other troubles are
        waited for, let a camera send meanwhile.
        """

        def accepted() -> list[dict[str, str]]:
            meanwhile()
            return [d for d in [self.diagnosis(title)] if accept(d)]

        return wait_for(accepted, lambda: f'diagnostics; the last: {self.diagnosis(title)}')[0]

    def wait_loaded(self) -> str:
        """Wait until the node has its model; what that runs on."""
        told = self.wait_diagnosis(lambda d: d['backend'] not in ('none', 'loading'))
        return told['backend']


@contextlib.contextmanager
def _environment(wanted: dict[str, str]) -> Iterator[None]:
    names = ('ROS_AUTOMATIC_DISCOVERY_RANGE', *transport.PROFILE_VARIABLES)
    before = {name: os.environ.pop(name, None) for name in names}
    os.environ.update({name: wanted[name] for name in names if name in wanted})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def parameter(name: str, value: Any) -> Parameter:
    """A parameter as services carry it."""
    return RclpyParameter(name, value=value).to_parameter_msg()


def wait_for(
    condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = WAIT_S
) -> Any:
    """Wait until `condition` holds, and give back what it said."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f'waited {seconds} s for {told}')
        time.sleep(0.01)


def image_message(rgb: np.ndarray, stamp_ns: int, frame_id: str = FRAME) -> Image:
    """An rgb8 Image."""
    return fault_messages.image_message(rgb, stamp_ns, frame_id)


def compressed_message(data: bytes, stamp_ns: int, frame_id: str = FRAME) -> CompressedImage:
    """A CompressedImage of encoded bytes."""
    message = CompressedImage(format='rgb8; jpeg compressed bgr8')
    message.data.frombytes(data)
    return fault_messages.stamped(message, stamp_ns, frame_id)


def info_message(
    width: int, height: int, stamp_ns: int, focal: float = 60.0, frame_id: str = FRAME
) -> CameraInfo:
    """A camera without distortion."""
    return fault_messages.info_message(width, height, stamp_ns, focal, frame_id)
