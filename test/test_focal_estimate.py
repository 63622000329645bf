"""Estimated focal lengths: steady, robust, and refused where the model sees none."""

from __future__ import annotations

from pathlib import Path

import graphs
import numpy as np
import pytest

from depth_ros.errors import CameraError
from depth_ros.pipeline import DepthPipeline
from depth_ros.pipeline.focal_estimate import FocalEstimate


def grey(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def focal_of(fov_deg: float, width: int = 64) -> float:
    return width / 2 / float(np.tan(np.radians(fov_deg) / 2))


@pytest.fixture(scope='module')
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> DepthPipeline:
    """One degree of its field of view for each mean grey level."""
    spec = graphs.spec(motion=None)
    folder = tmp_path_factory.mktemp('models') / 'seeing'
    return DepthPipeline.open(
        graphs.write_model(folder, spec, graphs.canonical_graph(spec, fov_per_grey=1.0))
    )


@pytest.fixture
def estimate(pipeline: DepthPipeline) -> FocalEstimate:
    return FocalEstimate(pipeline)


def test_the_first_picture_is_asked_about(estimate: FocalEstimate) -> None:
    assert not estimate.begun
    assert estimate.text == 'not estimated yet'
    camera = estimate.intrinsics(grey(60))
    assert camera.fx == camera.fy == pytest.approx(focal_of(60), rel=1e-5)
    assert (camera.cx, camera.cy, camera.width, camera.height) == (31.5, 23.5, 64, 48)
    assert estimate.begun
    assert estimate.text.endswith('horizontal field of view 60.0 degrees')


def test_a_camera_is_not_another_one_with_each_picture(estimate: FocalEstimate) -> None:
    first = estimate.intrinsics(grey(60))
    for fov_deg in np.random.default_rng(0).normal(60.0, 0.3, 50):
        assert estimate.intrinsics(grey(90)) == first
        estimate.observe(float(fov_deg))
    assert estimate.intrinsics(grey(60)) == first


def test_a_misleading_first_picture_is_outvoted_and_outliers_are_not_heard(
    estimate: FocalEstimate,
) -> None:
    estimate.intrinsics(grey(100))
    for _ in range(10):
        estimate.observe(60.0)
    settled = estimate.intrinsics(grey(100))
    assert settled.fx == pytest.approx(focal_of(60))
    for fov_deg in (10.0, 150.0, 60.2, 179.0, 60.1):
        estimate.observe(fov_deg)
        assert estimate.intrinsics(grey(100)) == settled


def test_a_lens_that_zooms_is_followed(estimate: FocalEstimate) -> None:
    estimate.intrinsics(grey(60))
    for _ in range(30):
        estimate.observe(30.0)
    assert estimate.intrinsics(grey(60)).fx == pytest.approx(focal_of(30))


def test_pictures_of_another_size_begin_anew(estimate: FocalEstimate) -> None:
    estimate.intrinsics(grey(60))
    for _ in range(20):
        estimate.observe(60.0)
    camera = estimate.intrinsics(grey(40, 128, 96))
    assert (camera.width, camera.height) == (128, 96)
    assert camera.fx == pytest.approx(focal_of(40, 128), rel=1e-5)


def test_no_lens_is_wider_than_a_pinhole_can_be(estimate: FocalEstimate) -> None:
    assert estimate.intrinsics(grey(250)).fx == pytest.approx(focal_of(170))


def test_answers_before_the_first_picture_and_of_other_models_say_nothing(
    estimate: FocalEstimate,
) -> None:
    estimate.observe(60.0)
    estimate.observe(None)
    assert not estimate.begun


def test_models_that_see_no_field_of_view(tmp_path: Path) -> None:
    spec = graphs.spec(motion=None)
    model = graphs.write_model(tmp_path / 'blind', spec, graphs.canonical_graph(spec))
    with pytest.raises(CameraError, match="model 'tiny' tells no field of view"):
        FocalEstimate(DepthPipeline.open(model)).intrinsics(grey(60))
    tied = graphs.spec(motion=None, intrinsics=graphs.training_camera())
    model = graphs.write_model(tmp_path / 'tied', tied, graphs.canonical_graph(tied, 1.0))
    with pytest.raises(CameraError, match='tells no field of view'):
        FocalEstimate(DepthPipeline.open(model)).intrinsics(grey(60))
