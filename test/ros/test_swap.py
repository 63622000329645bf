"""Another model for the running node: between two frames, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from helpers import NEEDS_OPENVINO
from nav_msgs.msg import Odometry
from ros_camera import HEIGHT, START, WIDTH, Camera, as_array, stamp_of
from ros_harness import Peer, wait_for
from sensor_msgs.msg import Image

from depth_ros.model_folder.spec import METADATA_KEY, ScaleKind

GREY = 100
PER_GREY = {'one': 0.02, 'two': 0.04}
TENTH_NS = 100_000_000


@pytest.fixture
def models(tmp_path) -> dict[str, str]:
    """Folders of two models, whose depths of a grey picture are 2 m and 4 m."""
    return {
        name: str(graphs.write_model(
            tmp_path / name, graphs.spec(name=name),
            graphs.depth_graph(graphs.spec(), per_grey=per_grey),
        ).path)
        for name, per_grey in PER_GREY.items()
    }  # fmt: skip


@pytest.fixture
def camera(peer) -> Camera:
    camera = Camera(peer)
    camera.picture = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    return camera


def depth_of(message: Image) -> float:
    """Of a grey picture, which has one depth."""
    depth = as_array(message, np.float32)
    assert np.ptp(depth) < 1e-4
    return float(depth[0, 0])


@contextmanager
def sending(camera: Camera, hertz: float) -> Iterator[None]:
    """Pictures at a rate from a thread of their own."""
    ended = threading.Event()

    def send() -> None:
        due = time.monotonic()
        while not ended.is_set():
            camera.send()
            due += 1 / hertz
            time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def settled(peer: Peer) -> dict[str, int]:
    """The counts once nothing is sent any more and all of it is answered."""
    time.sleep(1.5)  # the diagnostics now count all that was sent so far
    told = peer.wait_diagnosis(lambda d: True)
    return {key: int(value) for key, value in told.items() if key.startswith('frames ')
            and value.isdigit()}  # fmt: skip


def test_swaps_at_15_hz_lose_no_frame_and_answers_are_of_the_right_model(
    network, peer, camera, models
):
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=models['one']) as node:
        camera.send_until(depths)
        before = settled(peer)
        spans: list[tuple[int, int, str]] = []  # pictures sent while one model ran for certain
        name, first = 'one', camera.sent
        with sending(camera, hertz=15):
            for other in ('two', 'one') * 3:
                time.sleep(0.5)
                spans.append((first, camera.sent, name))
                assert peer.set_parameter('model', models[other]).successful
                name, first = other, camera.sent + 1
            time.sleep(0.5)
        spans.append((first, camera.sent, name))
        counts = settled(peer)
        assert 'Traceback' not in node.log
    new = {key: counts[key] - before[key] for key in counts}
    assert new['frames in'] > 40
    assert new['frames out'] + new['frames overtaken'] == new['frames in']
    assert new['frames overtaken'] <= new['frames in'] // 10  # none, but for other processes
    assert new['frames refused'] == new['frames unwanted'] == 0
    by_index = {(stamp_of(d) - START) // TENTH_NS: depth_of(d) for d in depths}
    for first, last, name in spans:
        for index in range(first, last):
            if index in by_index:
                assert by_index[index] == pytest.approx(PER_GREY[name] * GREY, rel=1e-4)
    assert {round(depth, 2) for depth in by_index.values()} == {2.0, 4.0}


def no_folder(folder: Path) -> None:
    pass


def truncated(folder: Path) -> None:
    path = graphs.write_model(folder).depth_path
    path.write_bytes(path.read_bytes()[:200])


def of_unknown_operators(folder: Path) -> None:
    """A graph whose metadata is fine: what is wrong shows when it is loaded."""
    graphs.write_model(folder)
    graph = onnx.load(folder / 'depth.onnx')
    graph.graph.node[0].op_type = 'NoSuchOperator'
    onnx.save(graph, folder / 'depth.onnx')


def of_wrong_samples(folder: Path) -> None:
    graphs.write_model(folder)
    image = np.full((1, graphs.HEIGHT, graphs.WIDTH, 3), GREY, np.uint8)
    np.savez(folder / 'samples.npz', image=image,
             depth=np.full(image.shape[:3], 2.5, np.float32))  # fmt: skip


def of_another_shape(folder: Path) -> None:
    """A graph that loads, and answers something else than its spec tells."""
    spec = graphs.spec(depth_width=32, depth_height=24)
    graph = graphs.depth_graph(graphs.spec())
    onnx.helper.set_model_props(graph, {METADATA_KEY: spec.to_json()})
    graphs.write_model(folder, spec, graph)


def up_to_scale(folder: Path) -> None:
    graphs.write_model(folder, graphs.spec(scale=ScaleKind.UP_TO_SCALE, scale_source='none'))


@pytest.mark.parametrize(
    ('spoil', 'words'),
    [
        (no_folder, 'neither a folder'),
        (truncated, 'depth.onnx'),
        (of_unknown_operators, 'NoSuchOperator'),
        (of_wrong_samples, 'what training told of the samples'),
        (of_another_shape, r'answered depth of shape (1, 48, 64)'),
        (up_to_scale, 'scale'),
    ],
)
def test_a_bad_model_is_refused_and_the_old_one_runs_on(
    network, peer, camera, models, tmp_path, spoil: Callable[[Path], None], words
):
    depths = peer.collect(Image, 'depth/image')
    bad = tmp_path / 'bad'
    spoil(bad)
    with network.depth_node(model=models['one'], backend='onnxruntime') as node:
        camera.send_until(depths)
        result = peer.set_parameter('model', str(bad))
        assert not result.successful
        assert words in result.reason
        assert peer.get_parameter('model') == models['one']
        camera.send_until(depths, 2)
        assert depth_of(depths[-1]) == pytest.approx(2.0, rel=1e-4)
        told = peer.wait_diagnosis(lambda d: d['level'] == '0', camera.send)
        assert (told['state'], told['model']) == ('active', f'one ({models["one"]})')
        assert peer.set_parameter('model', models['two']).successful
        camera.send_until(depths, 2)
        assert depth_of(depths[-1]) == pytest.approx(4.0, rel=1e-4)
        assert 'Traceback' not in node.log


@NEEDS_OPENVINO
def test_a_runtime_that_is_not_here_is_refused(network, peer, camera, models):
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=models['one'], backend='onnxruntime'):
        camera.send_until(depths)
        result = peer.set_parameter('device', 'cuda')
        assert not result.successful
        assert 'CUDA' in result.reason
        assert peer.get_parameter('device') == 'auto'
        assert 'ONNX Runtime' in peer.diagnosis()['backend']
        assert peer.set_parameter('backend', 'openvino').successful
        assert 'OpenVINO' in peer.wait_diagnosis(lambda d: 'ONNX' not in d['backend'])['backend']
        camera.send_until(depths, 2)


def test_a_model_and_its_scale_are_set_together_or_not_at_all(
    network, peer, camera, models, tmp_path
):
    depths = peer.collect(Image, 'depth/image')
    relative = tmp_path / 'relative'
    up_to_scale(relative)
    with network.depth_node(model=models['two']):
        camera.send_until(depths)
        result = peer.set_together({'model': str(relative), 'scale_source': 'camera_height',
                                    'camera_height': -1.0})  # fmt: skip
        assert not result.successful
        assert peer.set_together({'model': str(relative), 'scale_source': 'none'}).successful
        camera.send_until(depths, 2)
        assert depth_of(depths[-1]) == pytest.approx(2.0, rel=1e-4)
        result = peer.set_parameter('scale_source', 'model')
        assert not result.successful
        assert peer.get_parameter('scale_source') == 'none'
        together = {'model': '/no/such/model', 'scale_source': 'model'}
        assert not peer.set_together(together).successful
        assert peer.get_parameter('scale_source') == 'none'
        camera.send_until(depths, 2)


def test_a_folder_that_changed_is_loaded_by_setting_the_model_to_what_it_is(
    network, peer, camera, models
):
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=models['one']):
        camera.send_until(depths)
        graphs.write_model(
            Path(models['one']), depth=graphs.depth_graph(graphs.spec(), per_grey=0.03)
        )
        camera.send_until(depths, 2)
        assert depth_of(depths[-1]) == pytest.approx(2.0, rel=1e-4)
        assert peer.set_parameter('model', models['one']).successful
        camera.send_until(depths, 2)
        assert depth_of(depths[-1]) == pytest.approx(3.0, rel=1e-4)


def test_diagnostics_tell_that_odometry_starts_anew(network, peer, camera, models, tmp_path):
    odometry = peer.collect(Odometry, 'odom')
    depths = peer.collect(Image, 'depth/image')
    without = str(graphs.write_model(tmp_path / 'without', graphs.spec(motion=None)).path)
    with network.depth_node(model=models['one']):
        camera.send_until(odometry, 2)
        assert peer.set_parameter('model', models['two']).successful
        camera.send_until(odometry, 2)
        told = peer.wait_diagnosis(lambda d: 'anew' in d['odometry'])
        assert 'started anew 1 times, last: another model was loaded' in told['odometry']
        assert peer.set_parameter('model', without).successful
        camera.send_until(depths)
        peer.wait_diagnosis(lambda d: d['odometry'] == 'none')


def test_an_inactive_node_swaps_too(network, peer, camera, models):
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=models['one'], autostart=False):
        assert peer.transition('configure')
        for name in ('/no/such/model', '~nobody_of_that_name/model'):
            assert not peer.set_parameter('model', name).successful
        assert peer.set_parameter('model', models['two']).successful
        assert peer.transition('activate')
        camera.send_until(depths)
        assert depth_of(depths[-1]) == pytest.approx(4.0, rel=1e-4)
        assert peer.transition('deactivate')
        assert peer.transition('cleanup')
        assert peer.get_parameter('model') == models['two']


def test_sets_from_two_sides_at_once_end_with_what_ros_tells(network, peer, camera, models):
    other = Peer(network)
    depths = peer.collect(Image, 'depth/image')
    try:
        with network.depth_node(model=models['one']) as node:
            camera.send_until(depths)

            def set_often(by: Peer, name: str) -> None:
                for _ in range(4):
                    assert by.set_parameter('model', models[name]).successful

            threads = [threading.Thread(target=set_often, args=pair)
                       for pair in ((peer, 'one'), (other, 'two'))]  # fmt: skip
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            told = {path: name for name, path in models.items()}[peer.get_parameter('model')]
            camera.send_until(depths, 2)
            assert depth_of(depths[-1]) == pytest.approx(PER_GREY[told] * GREY, rel=1e-4)
            assert 'Traceback' not in node.log
            wait_for(lambda: peer.diagnosis()['model'].startswith(told), 'its diagnosis')
    finally:
        other.close()
