"""Signals at any time, runtimes that hang, and memory that the system refuses."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import graphs
import numpy as np
import pytest
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from ros_camera import HEIGHT, START, WIDTH, Camera, textured
from ros_harness import (
    RELIABLE,
    WAIT_S,
    NodeProcess,
    Peer,
    compressed_message,
    info_message,
    parameter,
    wait_for,
)
from ros_robot import PARAMETERS, Robot, living
from sensor_msgs.msg import Image


@pytest.fixture(scope='module')
def robot(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Robot]:
    """A node that takes compressed images."""
    with living(tmp_path_factory, pytestconfig, 'compressed', compressed=True) as robot:
        yield robot


def test_compressed_images_that_are_none_or_claim_too_much(robot):
    whole = cv2.imencode('.png', textured())[1].tobytes()
    jpeg = cv2.imencode('.jpg', textured())[1].tobytes()
    huge = (30_000).to_bytes(4, 'big')
    at = jpeg.index(b'\xff\xc0') + 5
    for data, words in (
        (b'', 'neither JPEG nor PNG'),
        (whole[:100], 'cut off'),
        (jpeg[: len(jpeg) // 2], 'truncated'),
        (whole[:40] + bytes(100) + whole[140:], 'damaged'),
        (whole[:16] + 2 * huge + whole[24:], '30000x30000'),
        (jpeg[:at] + huge[2:] + huge[2:] + jpeg[at + 4 :], '30000x30000'),
    ):
        message = compressed_message(data, START)
        robot.told(
            'wrong: image', words,
            meanwhile=lambda message=message: robot.peer.publish('image/compressed', message),
        )  # fmt: skip
        robot.good()
    robot.told(
        'wrong: image', 'no serialised sensor_msgs/CompressedImage',
        meanwhile=lambda: robot.peer.publish('image/compressed', b'\0\1\0\0' * 5),
    )  # fmt: skip
    robot.recovered()


def test_memory_that_the_system_refuses(robot):
    """A picture that is sound, and too large for what the process may have."""
    width, height = 12_000, 11_000
    data = cv2.imencode('.png', np.zeros((height, width), np.uint8))[1].tobytes()
    picture = compressed_message(data, START)

    def send() -> None:
        robot.peer.publish('camera_info', info_message(width, height, START))
        robot.peer.publish('image/compressed', picture)

    large = graphs.depth_graph(graphs.spec())
    graphs.add_work(large, 4096)
    path = graphs.write_model(robot.folder / 'large', depth=large).path
    robot.good()
    before = resource.prlimit(robot.node.pid, resource.RLIMIT_AS)
    status = Path(f'/proc/{robot.node.pid}/status').read_text()
    used_kib = int(status.split('VmSize:')[1].split()[0])
    # Less than the picture or the model takes, and enough for the threads and buffers of DDS,
    # which end the process where they get none.
    allowed = (used_kib << 10) + (64 << 20)
    resource.prlimit(robot.node.pid, resource.RLIMIT_AS, (allowed, before[1]))
    try:
        robot.told('wrong: memory', 'alloc', meanwhile=send)
        robot.good()
        result = robot.peer.set_parameter('model', str(path))
        assert not result.successful
        assert 'alloc' in result.reason
        robot.recovered()
    finally:
        resource.prlimit(robot.node.pid, resource.RLIMIT_AS, before)
    robot.recovered()


@pytest.mark.slow
def test_a_runtime_that_hangs(network, peer, tmp_path):
    graph = graphs.hanging_graph(graphs.spec())
    model = graphs.write_model(tmp_path / 'hanging', depth=graph).path
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model, **PARAMETERS) as node:
        camera.send_until(depths)
        picture = np.full((HEIGHT, WIDTH, 3), graphs.HANGING_GREY, np.uint8)
        told = peer.wait_diagnosis(
            lambda d: 'wrong: worker' in d, lambda: camera.send(picture)
        )
        assert told['level'] == '2'
        assert 'with one image for' in told['wrong: worker']
        assert 'second signal' in told['cure: worker']
        node.signal()
        node.signal()  # a terminal and ros2 launch send it twice
        time.sleep(4.0)
        assert node.is_running
        node.signal(signal.SIGTERM)
        assert node.status() == 1
        assert 'ends without waiting' in node.log
        assert 'Traceback' not in node.log


def loading(peer: Peer, node: NodeProcess) -> None:
    """The model is being loaded."""
    wait_for(lambda: 'inactive' in node.log, 'its being configured')


def mid_frame(peer: Peer, node: NodeProcess) -> None:
    """Frames wait and are computed."""
    camera = Camera(peer)
    camera.send_until(peer.collect(Image, 'depth/image', RELIABLE))
    for _ in range(20):
        camera.send()


def mid_transition(peer: Peer, node: NodeProcess) -> None:
    """The state changes again and again."""
    peer.wait_loaded()
    client = peer.node.create_client(ChangeState, '/depth_node/change_state')
    assert client.wait_for_service(WAIT_S)
    for label in ('deactivate', 'cleanup', 'configure', 'activate') * 2:
        request = ChangeState.Request()
        request.transition.label = label
        client.call_async(request)


def mid_swap(peer: Peer, node: NodeProcess) -> None:
    """A set of the model waits for the verdict."""
    peer.wait_loaded()
    client = peer.node.create_client(SetParameters, '/depth_node/set_parameters')
    assert client.wait_for_service(WAIT_S)
    client.call_async(SetParameters.Request(parameters=[parameter('model', 'lite0')]))
    time.sleep(0.2)  # wherever it is by then


def finalized(peer: Peer, node: NodeProcess) -> None:
    """It was shut down by the state machine, which is for good."""
    peer.wait_loaded()
    assert peer.transition('shutdown')
    assert peer.state() == 'finalized'
    for label in ('configure', 'activate', 'shutdown'):
        assert not peer.transition(label)


@pytest.mark.parametrize(
    ('number', 'moment'),
    [
        (signal.SIGINT, loading),
        (signal.SIGTERM, mid_frame),
        (signal.SIGINT, mid_transition),
        (signal.SIGTERM, mid_swap),
        (signal.SIGTERM, finalized),
    ],
)
def test_signals_at_any_time(network, peer, model, number, moment):
    loads = 'lite0' if moment is loading else model  # which takes a while
    with network.depth_node(model=loads, **PARAMETERS) as node:
        moment(peer, node)
        node.signal(number)
        node.signal(number)
        assert node.status() == 0
        assert 'Traceback' not in node.log
        assert 'terminate' not in node.log
