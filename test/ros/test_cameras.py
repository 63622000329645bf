"""Several cameras on one model, over real DDS."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import graphs
import numpy as np
import pytest
from helpers import NEEDS_OPENVINO
from nav_msgs.msg import Odometry
from ros_camera import HEIGHT, WIDTH, Camera, as_array, stamp_of, textured
from ros_harness import Peer, image_message, wait_for
from sensor_msgs.msg import CameraInfo, Image

NAMES = ('front', 'left', 'right')
SIZES = {'front': (96, 72), 'left': (64, 48), 'right': (128, 96)}
FOCALS = {'front': 60.0, 'left': 30.0, 'right': 100.0}
GREY = 100
ANSWERED_HOW = 'frames are answered'
TOGETHER = 'up to 3 together'


class Rig:
    """Three cameras of different sizes and lenses, and the depth that comes back of each."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._sent_s = 0.0
        self._cameras = {name: Camera(peer, name, SIZES[name], FOCALS[name]) for name in NAMES}
        self.depths: dict[str, list[Image]] = {
            name: peer.collect(Image, f'{name}/depth/image') for name in NAMES
        }

    def __getitem__(self, name: str) -> Camera:
        return self._cameras[name]

    def send(self, *names: str) -> None:
        for name in names or NAMES:
            self[name].send()

    def stamps(self, name: str) -> list[int]:
        return [stamp_of(depth) for depth in self.depths[name]]

    def start(self) -> None:
        """Pictures until each camera is answered and all is well: the first may come before all
        topics are matched."""
        for name in NAMES:
            self[name].send_until(self.depths[name])
            self.peer.wait_diagnosis(lambda d: d['level'] == '0', self.send, name)
        time.sleep(1.5)  # the diagnostics now count all that was sent so far

    def every_stamp_is_answered(self, rounds: int, hertz: float) -> None:
        """Send all cameras at once at a rate; what best effort loses is sent again."""
        for index in range(max(self[name].sent for name in NAMES), 1000)[:rounds]:
            started = self._sent_s = time.monotonic()
            for name in NAMES:
                self[name].sent = index
                self[name].send()
            wait_for(partial(self._answered, index), f'answers to picture {index}')
            time.sleep(max(0.0, started + 1 / hertz - time.monotonic()))

    def _answered(self, index: int) -> bool:
        missing = [n for n in NAMES if self[n].stamp(index) not in self.stamps(n)]
        if missing and time.monotonic() - self._sent_s > 5.0:
            self._sent_s = time.monotonic()
            for name in missing:
                self[name].send_again(index)
        return not missing


@pytest.fixture
def rig(peer) -> Rig:
    return Rig(peer)


@pytest.fixture(scope='module')
def lens_model(tmp_path_factory) -> Path:
    """Depth that goes with the focal length, so that each camera has its own.

    By ONNX Runtime three frames cost as much as one, by OpenVINO each costs the same.
    """
    spec = graphs.spec()
    graph = graphs.canonical_graph(spec)
    graphs.add_work(graph, size=512, times=2)
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'lens', spec, graph).path


def node_with(network, model: Path, *remappings: str, **parameters: Any):
    return network.depth_node(*remappings, model=model, cameras=f'[{", ".join(NAMES)}]',
                              threads=1, **parameters)  # fmt: skip


def expected_depth(name: str) -> float:
    """Of the model above with grey pictures, the same at any size."""
    return 0.02 * GREY * FOCALS[name] / SIZES[name][0]


@pytest.mark.parametrize(
    ('backend', 'how'),
    [
        ('onnxruntime', TOGETHER),
        pytest.param('openvino', 'in turns', marks=NEEDS_OPENVINO),
    ],
)
def test_three_cameras_at_5_hz_answer_every_stamp_as_they_are(
    network, peer, rig, lens_model, backend, how
):
    for name, (width, height) in SIZES.items():
        rig[name].picture = np.full((height, width, 3), GREY, np.uint8)
    infos = {name: peer.collect(CameraInfo, f'{name}/depth/camera_info') for name in NAMES}
    with node_with(network, lens_model, backend=backend) as node:
        rig.start()
        assert peer.diagnosis()[ANSWERED_HOW].startswith(how)
        before = {name: peer.diagnosis(name) for name in NAMES}
        rig.every_stamp_is_answered(rounds=15, hertz=5)
        told = {
            name: peer.wait_diagnosis(
                lambda d, name=name: int(d['frames out']) - int(before[name]['frames out']) >= 15,
                title=name,
            )
            for name in NAMES
        }
        assert 'Traceback' not in node.log
    for name in NAMES:
        depth, info = rig.depths[name][-1], infos[name][-1]
        assert (depth.width, depth.height) == SIZES[name] == (info.width, info.height)
        assert depth.header.frame_id == f'{name}_optical_frame'
        assert info.k[0] == pytest.approx(FOCALS[name])
        for message in rig.depths[name]:
            np.testing.assert_allclose(
                as_array(message, np.float32), expected_depth(name), rtol=1e-4
            )
        for count in ('frames refused', 'frames unwanted', 'frames overtaken'):
            assert told[name][count] == before[name][count]
        assert told[name]['level'] == '0'


def test_one_camera_that_dies_disturbs_no_other_and_is_told_of(network, peer, rig, lens_model):
    with node_with(network, lens_model, image_timeout=4.0):
        rig.start()
        before = len(rig.depths['right'])
        told = peer.wait_diagnosis(
            lambda d: 'wrong: input' in d, lambda: rig.send('front', 'right'), title='left'
        )
        assert told['level'] == '1'
        assert 'no image on /left/image' in told['message']
        for title in ('front', 'right', 'depth'):
            assert peer.diagnosis(title)['level'] == '0'
        assert len(rig.depths['right']) > before
        rig['left'].send_until(rig.depths['left'])
        peer.wait_diagnosis(lambda d: d['level'] == '0', rig.send, title='left')


@pytest.mark.parametrize(
    'backend', ['onnxruntime', pytest.param('openvino', marks=NEEDS_OPENVINO)]
)
def test_a_bad_image_of_one_camera_costs_no_other(network, peer, rig, lens_model, backend):
    with node_with(network, lens_model, backend=backend):
        rig.start()

        def send() -> None:
            bad = image_message(textured(), rig['left'].stamp(rig['left'].sent))
            del bad.data[100:]
            peer.publish('left/image', bad)
            rig.send('front', 'right')

        told = peer.wait_diagnosis(lambda d: 'wrong: image' in d, send, title='left')
        assert told['frames refused'] != '0'
        answered = {name: len(rig.depths[name]) for name in ('front', 'right')}
        before = {name: peer.diagnosis(name)['frames refused'] for name in answered}
        wait_for(
            lambda: send() or all(len(rig.depths[n]) > answered[n] + 3 for n in answered),
            'answers of the others',
        )
        for name in answered:
            told = peer.diagnosis(name)
            assert (told['level'], told['frames refused']) == ('0', before[name])


def test_a_frame_that_the_network_fails_on_costs_no_other_camera(network, peer, rig, tmp_path):
    graph = graphs.fragile_graph(graphs.spec())
    graphs.add_work(graph, size=512, times=2)
    model = graphs.write_model(tmp_path / 'fragile', depth=graph)
    with node_with(network, model.path, backend='onnxruntime'):
        rig.start()
        assert peer.diagnosis()[ANSWERED_HOW].startswith(TOGETHER)
        before = {name: peer.diagnosis(name)['frames refused'] for name in NAMES}
        width, height = SIZES['left']
        rig['left'].picture = np.full((height, width, 3), graphs.RAISING_GREY, np.uint8)
        peer.wait_diagnosis(
            lambda d: int(d['frames refused']) > int(before['left']) + 10, rig.send, title='left'
        )
        for name in ('front', 'right'):
            assert peer.diagnosis(name)['frames refused'] == before[name]
            assert peer.diagnosis(name)['level'] == '0'


def test_a_fast_camera_does_not_starve_a_slow_one(network, peer, rig, tmp_path):
    spec = graphs.spec()
    graph = graphs.depth_graph(spec)
    graphs.add_work(graph, size=700, times=3, dearer_together=True)
    slow = graphs.write_model(tmp_path / 'slow', spec, graph)
    with node_with(network, slow.path, backend='onnxruntime'):
        rig.start()
        ended = threading.Event()

        def flood() -> None:
            while not ended.wait(1 / 120):
                rig.send('front')

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for _ in range(5):
                rig['left'].send_until(rig.depths['left'])
            told = peer.wait_diagnosis(lambda d: int(d['frames overtaken']) > 0, title='front')
        finally:
            ended.set()
            thread.join()
        assert int(told['frames out']) > 0
        assert peer.diagnosis()[ANSWERED_HOW].startswith('in turns')


def test_odometry_of_each_camera_is_its_own(network, peer, model):
    cameras = {name: Camera(peer, name) for name in ('front', 'left')}
    odometry = {name: peer.collect(Odometry, f'{name}/odom') for name in cameras}
    with network.depth_node(model=model, cameras='[front, left]'):
        cameras['front'].send_until(odometry['front'], 5)
        before = odometry['front'][-1]
        cameras['left'].send_until(odometry['left'], 10)
        cameras['front'].send_until(odometry['front'])
    front, left = odometry['front'][-1], odometry['left'][-1]
    assert (front.header.frame_id, front.child_frame_id) == ('front/odom', 'front_frame')
    assert (left.header.frame_id, left.child_frame_id) == ('left/odom', 'left_frame')
    # The tiny pose network answers 0.1 m straight ahead whatever it sees.
    assert left.pose.pose.position.x > 0.35
    assert 0 <= front.pose.pose.position.x - before.pose.pose.position.x < 0.15


def test_each_camera_has_its_place_on_the_robot(network, peer, model):
    cameras = {name: Camera(peer, name) for name in ('front', 'left')}
    odometry = {name: peer.collect(Odometry, f'{name}/odom') for name in cameras}
    places = '[0.3, 0.0, 0.5, 0.0, 0.0, 0.0,  0.0, 0.2, 0.5, 0.0, 0.0, 1.5707963]'
    parameters = {'base_frame': 'base_link', 'extrinsics': 'parameter', 'camera_in_base': places}
    with network.depth_node(model=model, cameras='[front, left]', **parameters):
        for name, camera in cameras.items():
            camera.send_until(odometry[name], 8)
    front, left = (odometry[name][-1].pose.pose.position for name in cameras)
    assert front.x > 0.15
    assert abs(front.y) < 1e-6
    assert left.y > 0.15
    assert abs(left.x) < 1e-6
    assert odometry['left'][-1].child_frame_id == 'base_link'


def transforms_of(network, peer, model, **parameters: Any) -> set[tuple[str, str]]:
    TFMessage = pytest.importorskip('tf2_msgs.msg').TFMessage
    cameras = {name: Camera(peer, name) for name in ('front', 'left')}
    odometry = {name: peer.collect(Odometry, f'{name}/odom') for name in cameras}
    transforms = peer.collect(TFMessage, '/tf')
    with network.depth_node(
        model=model, cameras='[front, left]', publish_tf=True, **parameters
    ):
        def joined() -> bool:
            for name, camera in cameras.items():
                camera.send_until(odometry[name])
            return len(transforms) >= 4

        wait_for(joined, 'transforms')
    return {
        (t.header.frame_id, t.child_frame_id) for message in transforms for t in message.transforms
    }


def test_cameras_that_are_their_own_base_have_a_tree_each(network, peer, model):
    assert transforms_of(network, peer, model) == {
        ('front/odom', 'front_frame'),
        ('front_frame', 'front_optical_frame'),
        ('left/odom', 'left_frame'),
        ('left_frame', 'left_optical_frame'),
    }


def test_the_first_camera_tells_the_place_of_one_base(network, peer, model):
    places = {'extrinsics': 'parameter', 'camera_in_base': str([0.0] * 12)}
    found = transforms_of(network, peer, model, base_frame='base_link', **places)
    assert found == {('front/odom', 'base_link')}


def test_topics_of_cameras_can_be_remapped(network, peer, model):
    depths = peer.collect(Image, '/front/depth/image')
    camera = Camera(peer, 'rig/a')
    remappings = ('front/image:=/rig/a/image', 'front/camera_info:=/rig/a/camera_info')
    with network.depth_node(*remappings, model=model, cameras='[front]'):
        camera.send_until(depths)
    assert (depths[-1].width, depths[-1].height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ('cameras', 'words'),
    [
        ('[front, left/rear]', ("'left/rear'", 'letters, digits')),
        ('[front, front]', ("'front' twice",)),
        ("[front, '']", ("''", 'beginning with a letter')),
        (str([f'camera{i}' for i in range(17)]), ('17 cameras', '1 to 16')),
    ],
)
def test_bad_names_end_it_with_one_line(network, cameras, words):
    with network.depth_node(cameras=cameras) as node:
        assert node.status() == 2
        (line,) = node.log.strip().splitlines()
        assert line.startswith('depth_node: error:')
        assert all(word in line for word in words), line


def test_no_names_are_a_single_camera(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=model, cameras='[]'):
        Camera(peer).send_until(depths)
        assert peer.diagnosis()[ANSWERED_HOW] == 'one by one'
        assert [status.name for status in peer.diagnostics[-1].status] == ['/depth_node: depth']


def test_cameras_that_outrun_the_model_do_not_keep_the_node_active(network, peer, rig, tmp_path):
    graph = graphs.depth_graph(graphs.spec())
    graphs.add_work(graph, size=256, times=24, dearer_together=True)
    model = graphs.write_model(tmp_path / 'slow', depth=graph)
    with node_with(network, model.path, backend='onnxruntime'):
        rig.start()
        ended = threading.Event()

        def go_on() -> None:
            """Each camera by itself, so that the thread of one answers the others."""
            while not ended.is_set():
                for name in NAMES:
                    rig[name].send()
                    time.sleep(0.002)

        sending = threading.Thread(target=go_on)
        sending.start()
        try:
            peer.wait_diagnosis(lambda d: int(d['frames overtaken']) > 20, title='front')
            for _ in range(3):
                assert peer.transition('deactivate')
                assert peer.state() == 'inactive'
                assert peer.transition('activate')
        finally:
            ended.set()
            sending.join()
