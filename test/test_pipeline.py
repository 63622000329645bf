"""From image to depth, through real ONNX Runtime graphs."""

import dataclasses

import graphs
import numpy as np
import onnx
import pytest

from depth_ros.backends import BackendKind, BackendOptions, Device
from depth_ros.camera import Intrinsics
from depth_ros.errors import BackendError, CameraError
from depth_ros.model import Fit
from depth_ros.pipeline import DepthPipeline, Frame

CAMERA = Intrinsics(100, 100, 63.5, 47.5, 128, 96)


def frame(seed=0, camera=CAMERA, stamp_ns=0) -> Frame:
    rng = np.random.default_rng(seed)
    image = rng.integers(40, 255, (camera.height, camera.width, 3), np.uint8)
    return Frame(stamp_ns, image, camera)


@pytest.fixture
def pipeline(tmp_path):
    return DepthPipeline.open(graphs.write_model(tmp_path / 'tiny'))


def test_depth_is_that_of_the_graph(pipeline):
    """Naively: the mean of 2 x 2 pixels and three channels, times 0.02."""
    answer = pipeline.run([frame()])[0]
    means = frame().image.astype(float).reshape(48, 2, 64, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(answer.depth, 0.02 * means.mean(axis=2), atol=0.02)


def test_a_batch_equals_its_frames(pipeline):
    frames = [frame(0), frame(1, Intrinsics(90, 90, 100, 60, 200, 120)), frame(2)]
    for together, alone in zip(pipeline.run(frames), [pipeline.run([f])[0] for f in frames]):
        np.testing.assert_array_equal(together.depth, alone.depth)


@pytest.mark.parametrize('fit', list(Fit))
def test_twice_the_focal_length_is_twice_the_depth(tmp_path, fit):
    spec = graphs.spec(intrinsics=graphs.training_camera(50.0), fit=fit)
    pipeline = DepthPipeline.open(graphs.write_model(tmp_path, spec))
    longer = dataclasses.replace(CAMERA, fx=200.0, fy=200.0)
    one = pipeline.run([frame(0, CAMERA)])[0]
    two = pipeline.run([frame(0, longer)])[0]
    assert one.view.focal_factor == 1.0
    np.testing.assert_allclose(two.depth, 2 * one.depth, rtol=1e-6)


def test_a_longer_focal_length_halves_the_rotation_only(tmp_path):
    spec = graphs.spec(intrinsics=graphs.training_camera(50.0))
    motion = (0.0, 0.1, 0.0, 0.2, 0.0, 0.3)
    pipeline = DepthPipeline.open(graphs.write_model(tmp_path, spec, motion=motion))
    image = np.zeros((1, graphs.HEIGHT, graphs.WIDTH, 3), np.uint8)
    longer = dataclasses.replace(CAMERA, fx=200.0, fy=200.0)
    pipeline.begin_motion(image, image)
    np.testing.assert_allclose(
        pipeline.end_motion(pipeline.view_of(longer)),
        [0, 0.05, 0, 0.2, 0, 0.3],
        atol=1e-7,
    )


def intrinsics_graph(spec) -> onnx.ModelProto:
    """depth = fx / 100 everywhere."""
    helper, kind = onnx.helper, onnx.TensorProto
    graph = graphs.flat_depth_graph(spec, np.zeros((spec.height, spec.width)))
    inner = graph.graph
    inner.node[-1].output[0] = 'nothing_yet'
    inner.initializer.extend([
        onnx.numpy_helper.from_array(np.array([0], np.int64), 'first'),
        onnx.numpy_helper.from_array(np.float32(0.01), 'hundredth'),
        onnx.numpy_helper.from_array(np.array([-1, 1, 1], np.int64), 'column'),
    ])
    inner.node.extend([
        helper.make_node('Gather', ['intrinsics', 'first'], ['fx'], axis=1),
        helper.make_node('Reshape', ['fx', 'column'], ['fx_column']),
        helper.make_node('Mul', ['fx_column', 'hundredth'], ['scaled']),
        helper.make_node('Add', ['nothing_yet', 'scaled'], ['depth']),
    ])
    inner.input.append(helper.make_tensor_value_info('intrinsics', kind.FLOAT, ['N', 4]))
    return graph


def test_a_model_of_many_cameras_is_told_the_intrinsics(tmp_path):
    spec = graphs.spec()
    model = graphs.write_model(tmp_path, spec, depth=intrinsics_graph(spec))
    pipeline = DepthPipeline.open(model)
    wide = Intrinsics(60, 60, 100, 50, 200, 100)
    near, far = pipeline.run([frame(0, CAMERA), frame(0, wide)])
    np.testing.assert_allclose(near.depth, 0.5, rtol=1e-6)
    np.testing.assert_allclose(far.depth, 60 * 64 / 200 / 100, rtol=1e-6)


@pytest.mark.parametrize('bad', [0.0, -1.0, np.nan, np.inf])
def test_depth_that_cannot_be_is_unknown(tmp_path, bad):
    spec = graphs.spec()
    profile = np.full((spec.height, spec.width), 2.0)
    profile[5, 7] = bad
    graph = graphs.flat_depth_graph(spec, profile)
    depth = DepthPipeline.open(graphs.write_model(tmp_path, spec, graph)).run([frame()])[0].depth
    assert np.isnan(depth[5, 7])
    assert np.count_nonzero(np.isnan(depth)) == 1


def test_answers_outlive_the_next_run(pipeline):
    answer = pipeline.run([frame(0)])[0].depth
    kept = answer.copy()
    pipeline.run([frame(1)])
    np.testing.assert_array_equal(answer, kept)


def test_a_graph_that_contradicts_its_spec(tmp_path):
    spec = graphs.spec(depth_width=32, depth_height=24)
    pipeline = DepthPipeline.open(graphs.write_model(tmp_path, spec))
    with pytest.raises(BackendError, match=r'answered depth of shape \(1, 48, 64\)'):
        pipeline.run([frame()])


def test_an_image_of_another_size(pipeline):
    wrong = dataclasses.replace(frame(), image=np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(CameraError, match='does not fit'):
        pipeline.run([wrong])


def test_motion_without_a_pose_network(tmp_path):
    model = graphs.write_model(tmp_path, graphs.spec(motion=None))
    pipeline = DepthPipeline.open(model)
    assert not pipeline.has_pose
    image = np.zeros((1, graphs.HEIGHT, graphs.WIDTH, 3), np.uint8)
    with pytest.raises(BackendError, match='has no pose network'):
        pipeline.begin_motion(image, image)


def test_many_cameras_do_not_pile_up(pipeline):
    for width in range(64, 264):
        pipeline.view_of(Intrinsics(50, 50, 31.5, 23.5, width, 48))
    assert len(pipeline._views) <= 16


def test_warm_up_description_and_close(tmp_path):
    model = graphs.write_model(tmp_path)
    pipeline = DepthPipeline.open(model, BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, 1))
    pipeline.warm_up()
    assert 'CPUExecutionProvider, 1 threads' in pipeline.description
    pipeline.close()
