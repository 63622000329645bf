"""The TensorRT backend over a machine whose GPU is none (test/fake_gpu)."""

from __future__ import annotations

import importlib
import sys
import tracemalloc
from pathlib import Path

import graphs
import numpy as np
import onnx
import pytest
from fake_gpu_machine import fake_gpu

from depth_ros.backends import BackendKind, BackendOptions, Device, EngineOptions, open_backend
from depth_ros.backends.parity import depth_case, motion_case
from depth_ros.backends.trt import TrtBackend
from depth_ros.doctor import State, check_gpu
from depth_ros.errors import BackendError
from depth_ros.model_folder.model import Model
from depth_ros.pipeline import DepthPipeline
from depth_ros.pipeline.depth_pipeline import Question

__all__ = ['fake_gpu']


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return graphs.write_model(tmp_path / 'tiny')


def cuda():
    return importlib.import_module('cuda.bindings.runtime')


def open_depth(model: Model, max_batch: int = 4) -> TrtBackend:
    options = BackendOptions(BackendKind.TENSORRT, engine=EngineOptions(max_batch=max_batch))
    backend = open_backend(model.depth_path, options, lambda: depth_case(model))
    assert isinstance(backend, TrtBackend)
    return backend


def images(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, graphs.HEIGHT, graphs.WIDTH, 3)
    return np.random.default_rng(seed).integers(30, 255, shape, np.uint8)


def expected(batch: np.ndarray) -> np.ndarray:
    return 0.02 * batch.mean(axis=3)


@pytest.mark.parametrize('count', [1, 3, 4, 9])
def test_runs_any_batch_also_above_the_engines_own(fake_gpu, model, count):
    backend = open_depth(model)
    for seed in range(3):
        batch = images(count, seed)
        depth = backend.run({'image': batch})['depth']
        assert depth.dtype == np.float32
        np.testing.assert_allclose(depth, expected(batch), rtol=1e-5)


def test_batches_of_changing_size_do_not_disturb_each_other(fake_gpu, model):
    backend = open_depth(model)
    for seed, count in enumerate([1, 2, 1, 4, 2, 1, 1, 4, 2]):
        batch = images(count, seed)
        np.testing.assert_allclose(
            backend.run({'image': batch})['depth'], expected(batch), rtol=1e-5
        )


def test_outputs_outlive_the_next_submit_but_not_the_one_after(fake_gpu, model):
    backend = open_depth(model)
    for _ in range(3):  # before and after runs are recorded
        first = backend.run({'image': images(1, 1)})['depth']
        kept = first.copy()
        backend.submit({'image': images(1, 2)})
        np.testing.assert_array_equal(first, kept)
        second = backend.wait()['depth']
        np.testing.assert_array_equal(first, kept)
        assert not np.array_equal(first, second)


def test_inputs_are_free_again_after_submit(fake_gpu, model):
    backend = open_depth(model)
    batch = images(1)
    right = expected(batch)
    backend.submit({'image': batch})
    batch[...] = 0
    np.testing.assert_allclose(backend.wait()['depth'], right, rtol=1e-5)


def test_the_third_run_is_replayed(fake_gpu, model):
    backend = open_depth(model)
    for _ in range(2):  # the outputs of each slot
        backend.run({'image': images(1)})
    before = len(cuda().launches)
    batch = images(1, 5)
    np.testing.assert_allclose(backend.run({'image': batch})['depth'], expected(batch), rtol=1e-5)
    assert len(cuda().launches) == before + 1
    assert 'without CUDA graph' not in backend.description


def test_an_engine_that_cannot_be_recorded_runs_all_the_same(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_NO_CAPTURE', '1')
    backend = open_depth(model)
    for seed in range(4):
        batch = images(1, seed)
        depth = backend.run({'image': batch})['depth']
        np.testing.assert_allclose(depth, expected(batch), rtol=1e-5)
    assert cuda().launches == []
    assert 'without CUDA graph' in backend.description


def test_recordings_belong_to_the_shape_they_were_made_for(fake_gpu, model):
    backend = open_depth(model)
    for seed in range(3):
        backend.run({'image': images(1, seed)})
    backend.run({'image': images(2)})
    before = len(cuda().launches)
    batch = images(1, 7)
    np.testing.assert_allclose(backend.run({'image': batch})['depth'], expected(batch), rtol=1e-5)
    assert len(cuda().launches) == before


def test_divided_batches_leave_the_last_answer_alone(fake_gpu, model):
    backend = open_depth(model, max_batch=1)
    first = backend.run({'image': images(1, 1)})['depth']
    kept = first.copy()
    backend.submit({'image': images(3, 2)})
    np.testing.assert_array_equal(first, kept)
    backend.wait()


def test_after_a_fault_of_the_gpu_closing_does_not_fail(fake_gpu, model, monkeypatch):
    backend = open_depth(model)
    backend.warm_up()
    monkeypatch.setenv('FAKE_BROKEN', '1')
    with pytest.raises(BackendError, match='cudaStreamSynchronize: cudaErrorLaunchFailure'):
        backend.run({'image': images(1)})
    backend.close()


def test_what_fails_half_way_through_loading_is_given_back(fake_gpu, model, monkeypatch):
    open_depth(model).close()
    monkeypatch.setenv('FAKE_FULL', '1')
    with pytest.raises(BackendError, match='cudaErrorMemoryAllocation'):
        open_depth(model)
    assert cuda().streams == {}
    assert cuda().memory == {}


def test_an_answer_nobody_waits_for_is_dropped(fake_gpu, model):
    backend = open_depth(model)
    backend.submit({'image': images(1, 1)})
    batch = images(1, 2)
    backend.submit({'image': batch})
    np.testing.assert_allclose(backend.wait()['depth'], expected(batch), rtol=1e-5)
    with pytest.raises(BackendError, match='nothing was submitted'):
        backend.wait()


@pytest.mark.parametrize(
    ('inputs', 'words'),
    [
        ({}, 'inputs are'),
        ({'picture': images(1)}, "'picture'"),
        ({'image': images(1)[:, :-1]}, '47'),
        ({'image': images(1).astype(np.float32)}, 'float32'),
        ({'image': images(0)}, '0'),
    ],
)
def test_wrong_inputs_are_refused_and_the_next_run_works(fake_gpu, model, inputs, words):
    backend = open_depth(model)
    with pytest.raises(BackendError, match=words) as caught:
        backend.submit(inputs)
    assert '\n' not in str(caught.value)
    batch = images(1)
    np.testing.assert_allclose(backend.run({'image': batch})['depth'], expected(batch), rtol=1e-5)


def test_close_gives_all_memory_back(fake_gpu, model):
    before = len(cuda().memory)
    backend = open_depth(model)
    backend.warm_up()
    assert len(cuda().memory) > before
    backend.close()
    assert len(cuda().memory) == before
    assert cuda().streams == {}
    assert cuda().graphs == {}


def test_depth_and_pose_of_a_pipeline_are_in_flight_together(fake_gpu, model):
    pipeline = DepthPipeline.open(model, BackendOptions(BackendKind.TENSORRT))
    pipeline.warm_up()
    picture = images(1)
    view = pipeline.view_of(graphs.training_camera())
    questions = [Question(picture, view, picture)]
    (answer,) = pipeline.ask(questions)
    assert [bool(work) for work in cuda().streams.values()].count(True) == 1  # the pose network's
    (motion,) = pipeline.motions(questions)
    np.testing.assert_allclose(answer.depth, expected(picture)[0], rtol=1e-5)
    np.testing.assert_allclose(motion, graphs.FORWARD, atol=1e-6)
    pipeline.close()
    assert cuda().memory == {}


def test_motions_of_other_frames_than_were_asked_last_are_asked_again(fake_gpu, model):
    pipeline = DepthPipeline.open(model, BackendOptions(BackendKind.TENSORRT))
    view = pipeline.view_of(graphs.training_camera())
    one, other = (Question(images(1), view, images(1)) for _ in range(2))
    pipeline.ask([one])
    pipeline.ask([other])
    still = Question(images(1), view)
    found = pipeline.motions([one, still, other])
    assert found[1] is None
    np.testing.assert_allclose([found[0], found[2]], [graphs.FORWARD] * 2, atol=1e-6)
    pipeline.close()


def test_frame_after_frame_allocates_nothing(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_IDLE', '1')
    backend = open_engine_unverified(model)
    inputs = {'image': images(1)}
    backend.warm_up()
    tracemalloc.start()
    try:
        backend.run(inputs)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for _ in range(50):
            backend.run(inputs)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    frame = inputs['image'].nbytes
    assert peak - before < frame / 2, 'a copy of the frame was allocated'
    assert after - before < 2048


def open_engine_unverified(model: Model) -> TrtBackend:
    """An engine that computes nothing passes no comparison: load it by hand."""
    from depth_ros.backends import UNWATCHED
    from depth_ros.backends.engines.building import build_engine
    from depth_ros.backends.engines.opening import Machine

    machine = Machine.find()
    built = build_engine(machine.library, model.depth_path, EngineOptions(), UNWATCHED)
    return machine.load(built.engine)


def test_an_engine_of_other_bytes_is_refused(fake_gpu, model):
    from depth_ros.backends.engines.opening import Machine

    with pytest.raises(BackendError, match='Serialization assertion failed'):
        Machine.find().load(b'nonsense')
    assert cuda().memory == {}
    assert cuda().streams == {}


def test_without_a_gpu_it_is_one_clear_line(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_GPUS', '0')
    with pytest.raises(BackendError, match='needs an NVIDIA GPU, and CUDA finds none') as caught:
        open_depth(model)
    assert '\n' not in str(caught.value)


def test_device_cpu_contradicts_tensorrt(fake_gpu, model):
    options = BackendOptions(BackendKind.TENSORRT, Device.CPU)
    with pytest.raises(BackendError, match='device is cpu'):
        open_backend(model.depth_path, options, lambda: depth_case(model))


def test_auto_takes_tensorrt_where_a_gpu_is(fake_gpu, model):
    backend = open_backend(model.depth_path, BackendOptions(), lambda: depth_case(model))
    assert backend.description == 'TensorRT 11.0.0, Fake GPU'
    assert backend.caveat == ''


def test_auto_takes_the_cpu_where_no_gpu_is_and_does_not_complain(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_GPUS', '0')
    backend = open_backend(model.depth_path, BackendOptions(), lambda: depth_case(model))
    assert 'TensorRT' not in backend.description
    assert backend.caveat == ''


def test_a_gpu_that_cuda_cannot_open_is_told(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_ERROR', '35')
    monkeypatch.setattr('depth_ros.backends.engines.gpu._DEVICE_FILES', (Path('/dev/null'),))
    backend = open_backend(model.depth_path, BackendOptions(), lambda: depth_case(model))
    assert 'TensorRT' not in backend.description
    assert 'CUDA finds none (cudaErrorInsufficientDriver)' in backend.caveat


def test_bindings_that_raise_where_the_driver_is_missing(fake_gpu, model, monkeypatch):
    """As cuda-bindings before 12.9 do."""

    def missing():
        raise RuntimeError('Function "cuInit" not found')

    monkeypatch.setattr(cuda(), 'cudaGetDeviceCount', missing)
    backend = open_backend(model.depth_path, BackendOptions(), lambda: depth_case(model))
    assert 'TensorRT' not in backend.description
    with pytest.raises(BackendError, match='Function "cuInit" not found'):
        open_depth(model)


def test_bindings_that_break_are_an_error_of_one_line(fake_gpu, model, monkeypatch):
    tensorrt = importlib.import_module('tensorrt')

    def broken(logger):
        raise TypeError('factory function returned nullptr\nmore')

    monkeypatch.setattr(tensorrt, 'Builder', broken)
    with pytest.raises(BackendError, match='does not work here: factory function') as caught:
        open_depth(model)
    assert '\n' not in str(caught.value)


def test_a_gpu_that_nothing_can_use_is_told(fake_gpu, model, monkeypatch):
    monkeypatch.setattr('depth_ros.backends.engines.library.is_installed', lambda: False)
    backend = open_backend(model.depth_path, BackendOptions(), lambda: depth_case(model))
    assert 'neither TensorRT nor onnxruntime-gpu' in backend.caveat
    quiet = BackendOptions(device=Device.CPU)
    assert open_backend(model.depth_path, quiet, lambda: depth_case(model)).caveat == ''


def test_auto_tells_why_it_fell_back(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_FACTOR', '1.5')
    backend = open_backend(model.depth_path, BackendOptions(), lambda: depth_case(model))
    assert 'TensorRT' not in backend.description
    assert 'wrongly' in backend.caveat
    assert 'differs from that of ONNX Runtime by 0.33' in backend.caveat


def test_pose_engines_are_verified_too(fake_gpu, model, monkeypatch):
    monkeypatch.setenv('FAKE_FACTOR', '0.8')
    assert model.pose_path is not None
    with pytest.raises(BackendError, match='its motion differs'):
        open_backend(
            model.pose_path, BackendOptions(BackendKind.TENSORRT), lambda: motion_case(model)
        )


def test_a_graph_that_tensorrt_cannot_read(fake_gpu, model):
    (model.path / 'depth.onnx').write_bytes(b'\x08\x09\x3a\x02no')
    with pytest.raises(BackendError, match=r'cannot read .*depth\.onnx: Failed to parse'):
        open_depth(model)


def test_a_dynamic_picture_size_is_refused(fake_gpu, model):
    graph = onnx.load(model.depth_path)
    graph.graph.input[0].type.tensor_type.shape.dim[1].dim_param = 'height'
    onnx.save(graph, model.depth_path)
    with pytest.raises(BackendError, match='only the first dimension may be dynamic'):
        open_depth(model)


def test_the_doctor_tells_gpu_and_library(fake_gpu, monkeypatch):
    found = check_gpu()
    assert (found.state, found.found) == (State.OK, 'Fake GPU (sm_89), TensorRT 11.0.0')
    for name in ('tensorrt', 'tensorrt_rtx', 'tensorrt_rtx_bindings'):
        monkeypatch.setitem(sys.modules, name, None)
    found = check_gpu()
    assert found.state is State.WARNING
    assert 'TensorRT is not installed' in found.found
    monkeypatch.setenv('FAKE_GPUS', '0')
    assert check_gpu().state is State.OK
