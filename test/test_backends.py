"""ONNX Runtime behind the backend protocol."""

import os

import graphs
import numpy as np
import onnx
import pytest

from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.backends.cores import physical_cores
from depth_ros.errors import BackendError

ORT = BackendOptions(BackendKind.ONNXRUNTIME)


@pytest.fixture
def depth_path(tmp_path):
    onnx.save(graphs.depth_graph(graphs.spec()), tmp_path / 'depth.onnx')
    return tmp_path / 'depth.onnx'


def images(count):
    shape = (count, graphs.HEIGHT, graphs.WIDTH, 3)
    return np.random.default_rng(0).integers(30, 255, shape, np.uint8)


@pytest.mark.parametrize('count', [1, 3])
def test_runs_any_batch(depth_path, count):
    backend = open_backend(depth_path, ORT)
    batch = images(count)
    depth = backend.run({'image': batch})['depth']
    np.testing.assert_allclose(depth, 0.02 * batch.mean(axis=3), rtol=1e-5)
    assert depth.dtype == np.float32


def test_outputs_outlive_the_next_run(depth_path):
    backend = open_backend(depth_path, ORT)
    first = backend.run({'image': images(1)})['depth']
    kept = first.copy()
    backend.run({'image': np.zeros_like(images(1))})
    np.testing.assert_array_equal(first, kept)


def test_description_names_provider_and_threads(depth_path):
    backend = open_backend(depth_path, BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, 3))
    assert 'CPUExecutionProvider, 3 threads' in backend.description


def test_warm_up_changes_no_answer_and_close_gives_the_session_back(depth_path):
    backend = open_backend(depth_path, ORT)
    backend.warm_up()
    batch = images(1)
    depth = backend.run({'image': batch})['depth']
    np.testing.assert_allclose(depth, 0.02 * batch.mean(axis=3), rtol=1e-5)
    backend.close()
    assert not hasattr(backend, '_session')


def test_a_gpu_that_is_not_there_is_an_error(depth_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('this ONNX Runtime has CUDA')
    with pytest.raises(BackendError, match='built without CUDA'):
        open_backend(depth_path, BackendOptions(BackendKind.ONNXRUNTIME, device=Device.CUDA))


def test_a_provider_that_did_not_start_is_an_error(depth_path, monkeypatch):
    """As with onnxruntime-gpu on a machine without its libraries: a log line, then the CPU."""
    import onnxruntime

    class CpuOnly(onnxruntime.InferenceSession):
        def __init__(self, path, settings, providers):
            super().__init__(path, settings, providers=['CPUExecutionProvider'])

    both = ['CUDAExecutionProvider', 'CPUExecutionProvider']
    monkeypatch.setattr(onnxruntime, 'InferenceSession', CpuOnly)
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: both)
    monkeypatch.setattr('depth_ros.backends.engines.gpu.is_present', lambda: True)
    with pytest.raises(BackendError, match='fell back to CPUExecutionProvider'):
        open_backend(depth_path, BackendOptions(BackendKind.ONNXRUNTIME, device=Device.CUDA))
    backend = open_backend(depth_path, BackendOptions())
    assert backend.description.startswith('ONNX Runtime')
    assert 'could not start CUDAExecutionProvider' in backend.caveat


def test_a_runtime_built_for_gpus_is_no_better_where_there_is_none(depth_path, monkeypatch):
    import onnxruntime

    both = ['CUDAExecutionProvider', 'CPUExecutionProvider']
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: both)
    monkeypatch.setattr('depth_ros.backends.engines.gpu.is_present', lambda: False)
    assert open_backend(depth_path, ORT).caveat == ''
    pytest.importorskip('openvino')
    backend = open_backend(depth_path, BackendOptions())
    assert backend.description.startswith('OpenVINO')
    assert backend.caveat == ''


def test_damaged_graph(tmp_path):
    path = tmp_path / 'depth.onnx'
    path.write_bytes(b'\x08\x09\x3a\x02no')
    with pytest.raises(BackendError, match='refuses') as caught:
        open_backend(path, ORT)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'inputs',
    [
        {},
        {'picture': images(1)},
        {'image': images(1)[:, :-1]},
        {'image': images(1).astype(np.float32)},
    ],
)
def test_wrong_inputs(depth_path, inputs):
    backend = open_backend(depth_path, ORT)
    with pytest.raises(BackendError) as caught:
        backend.run(inputs)
    assert '\n' not in str(caught.value)


def test_options_refuse_impossible_threads():
    with pytest.raises(BackendError, match='threads is -1'):
        BackendOptions(threads=-1)


def test_physical_cores_are_no_more_than_logical():
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
