"""The node over a machine whose GPU is none (test/fake_gpu): building engines, falling back."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from fake_gpu_machine import FOLDER
from helpers import NEEDS_OPENVINO
from rcl_interfaces.srv import SetParameters
from ros_camera import WIDTH, Camera
from ros_harness import Network, parameter, wait_for
from sensor_msgs.msg import Image


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """Its nodes find TensorRT and a GPU."""
    network = Network(tmp_path)
    network.environment['PYTHONPATH'] = os.pathsep.join(
        [str(FOLDER), network.environment['PYTHONPATH']]
    )
    network.environment['DEPTH_ROS_ENGINES'] = str(tmp_path / 'engines')
    return network


def test_a_node_builds_its_engines_tells_how_far_it_is_and_runs_them(network, peer, model):
    network.environment['FAKE_BUILD_S'] = '4'
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model, backend='tensorrt') as node:
        told = peer.wait_diagnosis(lambda d: '%' in d['state'])
        assert 'building engine of depth.onnx: ' in told['state']
        assert told['backend'] == 'loading'
        assert peer.wait_loaded() == 'TensorRT 11.0.0, Fake GPU'
        camera.send_until(depths, 3)
        peer.wait_diagnosis(lambda d: (d['state'], d['level']) == ('active', '0'), camera.send)
        assert 'Traceback' not in node.log
    assert len(list((network.folder / 'engines').glob('*.engine'))) == 2


def test_a_build_does_not_keep_the_node_from_ending(network, peer, model):
    network.environment['FAKE_BUILD_S'] = '120'
    with network.depth_node(model=model) as node:
        peer.wait_diagnosis(lambda d: 'building engine' in d['state'])
        started = time.monotonic()
        node.signal(signal.SIGINT)
        assert node.status() == 0
        assert time.monotonic() - started < 15
        assert 'Traceback' not in node.log


def test_another_model_does_not_wait_for_the_build_of_the_first(network, peer, model):
    network.environment['FAKE_BUILD_S'] = '120'
    depths = peer.collect(Image, 'depth/image')
    with network.depth_node(model=model, backend='tensorrt'):
        peer.wait_diagnosis(lambda d: 'building engine' in d['state'])
        assert peer.set_parameter('backend', 'onnxruntime').successful
        Camera(peer).send_until(depths)
        assert 'ONNX Runtime' in peer.wait_loaded()


def test_auto_falls_back_with_a_warning_where_the_engine_computes_wrongly(network, peer, model):
    network.environment['FAKE_FACTOR'] = '1.2'
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model):
        camera.send_until(depths)
        told = peer.wait_diagnosis(
            lambda d: 'wrong: backend' in d and d['level'] == '1', camera.send
        )
    assert 'TensorRT' not in told['backend']
    assert 'wrongly' in told['wrong: backend']


def test_tensorrt_by_name_does_not_fall_back(network, peer, model):
    network.environment['FAKE_FACTOR'] = '1.2'
    with network.depth_node(model=model, backend='tensorrt') as node:
        told = peer.wait_diagnosis(lambda d: 'wrong: model' in d)
        assert 'wrongly' in told['wrong: model']
        assert 'no model is loaded' in told['wrong: model']
        assert told['level'] == '2'
        assert 'Traceback' not in node.log


def test_tensorrt_without_a_gpu_is_one_clear_line(network, peer, model):
    network.environment['FAKE_GPUS'] = '0'
    with network.depth_node(model=model, backend='tensorrt'):
        told = peer.wait_diagnosis(lambda d: 'wrong: model' in d)
        assert 'TensorRT needs an NVIDIA GPU, and CUDA finds none' in told['wrong: model']
        assert peer.set_parameter('backend', 'auto').successful
        wait_for(lambda: 'wrong: model' not in peer.diagnosis(), 'its running elsewhere')
        assert 'TensorRT' not in peer.wait_loaded()


@NEEDS_OPENVINO
def test_a_backend_that_fails_after_the_set_was_accepted_is_set_back(network, peer, model):
    network.environment['FAKE_BUILD_S'] = '8'
    network.environment['FAKE_FACTOR'] = '1.2'
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model, backend='onnxruntime') as node:
        camera.send_until(depths)
        result = peer.set_together({'backend': 'tensorrt', 'output_size': 'network'})
        assert result.successful  # it takes too long to wait for
        assert peer.get_parameter('backend') == 'tensorrt'
        camera.send_until(depths, 2)
        assert depths[-1].width == WIDTH  # what was set together waits together
        assert peer.set_parameter('point_stride', 2).successful
        told = peer.wait_diagnosis(lambda d: 'wrong: model' in d, camera.send)
        assert 'wrongly' in told['wrong: model']
        assert 'tiny runs on; set back: backend, output_size' in told['wrong: model']
        wait_for(lambda: peer.get_parameter('backend') == 'onnxruntime', 'the old value')
        assert peer.get_parameter('output_size') == 'camera'
        assert peer.get_parameter('point_stride') == 2
        camera.send_until(depths, 2)
        assert depths[-1].width == WIDTH
        assert 'ONNX Runtime' in peer.diagnosis()['backend']
        assert peer.set_parameter('backend', 'openvino').successful
        peer.wait_diagnosis(lambda d: d['level'] == '0', camera.send)
        assert 'Traceback' not in node.log


@NEEDS_OPENVINO
def test_what_is_refused_while_another_is_pending_leaves_that_pending(network, peer, model):
    network.environment['FAKE_BUILD_S'] = '120'
    depths = peer.collect(Image, 'depth/image')
    camera = Camera(peer)
    with network.depth_node(model=model, backend='onnxruntime') as node:
        camera.send_until(depths)
        assert peer.set_parameter('backend', 'tensorrt').successful
        assert not peer.set_together({'backend': 'openvino', 'device': 'cuda'}).successful
        assert peer.get_parameter('backend') == 'tensorrt'
        peer.wait_diagnosis(lambda d: 'building engine' in d['state'], camera.send)
        assert peer.set_parameter('backend', 'openvino').successful
        told = peer.wait_diagnosis(lambda d: 'OpenVINO' in d['backend'], camera.send)
        assert peer.get_parameter('backend') == 'openvino'
        assert told['state'] == 'active'
        assert 'Traceback' not in node.log


def test_a_node_that_ends_keeps_nobody_waiting_for_a_verdict(network, peer, model):
    network.environment['FAKE_BUILD_S'] = '120'
    with network.depth_node(model=model, backend='onnxruntime') as node:
        peer.wait_loaded()
        client = peer.node.create_client(SetParameters, '/depth_node/set_parameters')
        assert client.wait_for_service(30.0)
        request = SetParameters.Request(parameters=[parameter('backend', 'tensorrt')])
        client.call_async(request)
        peer.wait_diagnosis(lambda d: 'building engine' in d['state'])
        node.signal(signal.SIGTERM)
        assert node.status() == 0
        assert 'Traceback' not in node.log
