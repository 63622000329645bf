"""From image to depth, through real ONNX Runtime graphs."""

import dataclasses
import math
from contextlib import closing
from unittest.mock import patch

import cv2
import graphs
import numpy as np
import pytest

from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.backends.parity import WrongAnswersError
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.lens import FieldOfView
from depth_ros.errors import BackendError, CameraError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Fit
from depth_ros.pipeline import DepthPipeline, Frame
from depth_ros.pipeline.depth_pipeline import Question

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
    questions = [Question(image, pipeline.view_of(longer), image)]
    pipeline.ask(questions)
    np.testing.assert_allclose(
        pipeline.motions(questions), [[0, 0.05, 0, 0.2, 0, 0.3]], atol=1e-7
    )


def canonical_pipeline(folder, fov_per_grey=None, **changes) -> DepthPipeline:
    spec = graphs.spec(motion=None, **changes)
    graph = graphs.canonical_graph(spec, fov_per_grey)
    return DepthPipeline.open(graphs.write_model(folder, spec, graph))


def test_a_model_of_many_cameras_is_told_the_intrinsics(tmp_path):
    pipeline = canonical_pipeline(tmp_path)
    grey = np.full((100, 200, 3), 100, np.uint8)
    wide = Intrinsics(60, 60, 100, 50, 200, 100)
    near, far = pipeline.run([
        Frame(0, grey[:96, :128], CAMERA), Frame(0, grey, wide)
    ])  # fmt: skip
    np.testing.assert_allclose(near.depth, 2.0 * 100 / 128, rtol=1e-6)
    np.testing.assert_allclose(far.depth, 2.0 * 60 / 200, rtol=1e-6)
    assert near.fov_deg is None
    assert not pipeline.tells_fov


@pytest.mark.parametrize('fit', list(Fit))
def test_focal_lengths_are_those_of_what_the_network_sees(tmp_path, fit):
    """Depth is fx / width of the input: what is cut off or added counts, what is stretched not."""
    pipeline = canonical_pipeline(tmp_path, fit=fit)
    camera = Intrinsics(150, 140, 99.5, 49.5, 200, 100)
    answer = pipeline.run([Frame(0, np.full((100, 200, 3), 100, np.uint8), camera)])[0]
    # The input has 64 x 48 pixels: of the camera it shows 200 x 100, 133 x 100, 200 x 150.
    shown = {Fit.STRETCH: 200, Fit.CROP: 133, Fit.LETTERBOX: 200}[fit]
    depth = answer.depth[answer.view.visible]
    np.testing.assert_allclose(depth, 2.0 * 150 / shown, rtol=1e-5)


@pytest.mark.parametrize('fit', list(Fit))
def test_depth_does_not_depend_on_the_size_of_the_picture(tmp_path, fit):
    pipeline = canonical_pipeline(tmp_path, fit=fit)
    image = cv2.GaussianBlur(frame(3).image, (0, 0), 4)
    twice = CAMERA.scaled(2 * CAMERA.width, 2 * CAMERA.height)
    small, large = pipeline.run([
        Frame(0, image, CAMERA),
        Frame(0, cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR), twice),
    ])
    np.testing.assert_allclose(large.depth, small.depth, rtol=0.02)


@pytest.mark.parametrize('fit', list(Fit))
def test_the_field_of_view_is_told_of_the_camera(tmp_path, fit):
    pipeline = canonical_pipeline(tmp_path, 0.6, fit=fit)
    assert pipeline.tells_fov
    image = np.full((100, 200, 3), 100, np.uint8)
    camera = Intrinsics(150, 150, 99.5, 49.5, 200, 100)
    answer = pipeline.run([Frame(0, image, camera)])[0]
    grey = 100 if fit is not Fit.LETTERBOX else (100 * 32 + 128 * 16) / 48
    shown = {Fit.STRETCH: 200, Fit.CROP: 133, Fit.LETTERBOX: 200}[fit]
    tangent = 200 / shown * math.tan(math.radians(0.6 * grey / 2))
    assert answer.fov_deg == pytest.approx(2 * math.degrees(math.atan(tangent)), rel=1e-5)
    assert pipeline.fov_deg(image) == pytest.approx(answer.fov_deg, rel=1e-5)


def test_depth_by_the_networks_own_focal_length_is_that_of_its_field_of_view(tmp_path):
    model = graphs.write_model(
        tmp_path, graphs.spec(motion=None), graphs.canonical_graph(graphs.spec(), 0.6)
    )
    pipeline = DepthPipeline.open(model)
    image = frame(4).image
    told = FieldOfView(pipeline.fov_deg(image)).at(CAMERA.width, CAMERA.height)
    view = pipeline.view_of(told)
    pixels = view.to_network(image)[None]
    with closing(open_backend(model.depth_path, BackendOptions(device=Device.CPU))) as backend:
        own = backend.run({'image': pixels, 'intrinsics': np.zeros((1, 4), np.float32)})['depth']
    np.testing.assert_allclose(pipeline.depth(pixels, [view]), own, rtol=1e-5)


@pytest.mark.parametrize('fov_deg', [-30.0, 0.0, 200.0])
def test_fields_of_view_that_cannot_be_are_bounded(tmp_path, fov_deg):
    pipeline = canonical_pipeline(tmp_path, fov_deg / 100)
    told = pipeline.fov_deg(np.full((48, 64, 3), 100, np.uint8))
    assert told == pytest.approx(1.0 if fov_deg <= 0 else 179.0)


def test_a_model_that_tells_no_field_of_view_is_not_asked(pipeline):
    with pytest.raises(BackendError, match="model 'tiny' tells no field of view"):
        pipeline.fov_deg(frame().image)


def test_what_lies_beyond_the_models_range_is_unknown(tmp_path):
    spec = graphs.spec(max_depth=10.0)
    profile = np.full((spec.height, spec.width), 10.0)
    profile[5, 7] = 10.2
    graph = graphs.flat_depth_graph(spec, profile)
    pipeline = DepthPipeline.open(graphs.write_model(tmp_path / 'far', spec, graph))
    depth = pipeline.run([frame()])[0].depth
    assert np.isnan(depth[5, 7])
    assert np.count_nonzero(np.isnan(depth)) == 1
    # The range is of the answers: a longer lens than in training sees farther.
    spec = graphs.spec(max_depth=10.0, intrinsics=graphs.training_camera(25.0))
    graph = graphs.flat_depth_graph(spec, np.full((spec.height, spec.width), 10.0))
    pipeline = DepthPipeline.open(graphs.write_model(tmp_path / 'lens', spec, graph))
    np.testing.assert_allclose(pipeline.run([frame()])[0].depth, 20.0)


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


def test_on_a_cpu_depth_does_not_wait_for_the_pose_network(tmp_path):
    pipeline = DepthPipeline.open(graphs.write_model(tmp_path))
    image = np.zeros((1, graphs.HEIGHT, graphs.WIDTH, 3), np.uint8)
    questions = [Question(image, pipeline.view_of(CAMERA), image)]
    with patch.object(pipeline._pose, 'compute', wraps=pipeline._pose.compute) as compute:
        (answer,) = pipeline.ask(questions)
        assert answer.depth.shape == (graphs.HEIGHT, graphs.WIDTH)
        assert compute.call_count == 0
        (motion,) = pipeline.motions(questions)
        assert compute.call_count == 1
    np.testing.assert_allclose(motion, graphs.FORWARD, atol=1e-6)


def test_motion_without_a_pose_network(tmp_path):
    model = graphs.write_model(tmp_path, graphs.spec(motion=None))
    pipeline = DepthPipeline.open(model)
    assert not pipeline.has_pose
    image = np.zeros((1, graphs.HEIGHT, graphs.WIDTH, 3), np.uint8)
    with pytest.raises(BackendError, match='has no pose network'):
        pipeline.ask([Question(image, pipeline.view_of(CAMERA), image)])


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


def model_with_samples(folder, factor: float, motion=graphs.FORWARD) -> Model:
    """Whose samples tell `factor` times the depth that the graph answers, and a motion ahead."""
    model = graphs.write_model(folder, motion=motion)
    pictures = np.random.default_rng(0).integers(
        50, 200, (2, graphs.HEIGHT, graphs.WIDTH, 3), dtype=np.uint8
    )
    depth = factor * 0.02 * pictures.mean(-1, dtype=np.float32)
    np.savez(
        folder / 'samples.npz', image=pictures, depth=depth, previous=pictures, current=pictures,
        motion=np.tile(np.float32(graphs.FORWARD), (2, 1)),
    )  # fmt: skip
    return model


def test_networks_are_checked_by_the_models_samples(tmp_path):
    options = BackendOptions(BackendKind.ONNXRUNTIME)
    good = model_with_samples(tmp_path / 'good', 1.0)
    DepthPipeline.open(good, options).check(good, options)
    bad = model_with_samples(tmp_path / 'bad', 1.1)
    with pytest.raises(WrongAnswersError, match='depth differs from what training told'):
        DepthPipeline.open(bad, options).check(bad, options)
    turned = model_with_samples(tmp_path / 'turned', 1.0, motion=(0, 0.2, 0, 0, 0, 0.1))
    with pytest.raises(WrongAnswersError, match='motion differs from what training told'):
        DepthPipeline.open(turned, options).check(turned, options)


def test_a_graph_that_contradicts_its_spec_is_found_by_checking(tmp_path):
    model = graphs.write_model(tmp_path, graphs.spec(depth_width=32, depth_height=24))
    with pytest.raises(BackendError, match=r'answered depth of shape \(1, 48, 64\)'):
        DepthPipeline.open(model).check(model, BackendOptions())


def test_the_bundled_model_passes_its_own_check():
    model = Model.load('lite0')
    for kind in (BackendKind.ONNXRUNTIME, BackendKind.OPENVINO):
        options = BackendOptions(kind)
        DepthPipeline.open(model, options).check(model, options)
