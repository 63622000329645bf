"""Geometry: rotations, warps and the focal correction, by property and against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from view_synthesis import depth_to_disparity, warp

from training import geometry
from training.geometry import (
    axis_angle_to_matrix,
    disparity_to_depth,
    invert_motion,
    invert_transform,
    matrix_to_axis_angle,
    motion_to_transform,
)

vectors = st.lists(st.floats(-2, 2), min_size=3, max_size=3)


def texture(height: int = 24, width: int = 32, seed: int = 0) -> torch.Tensor:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return noise.double()


def intrinsics(fx: float = 40.0) -> torch.Tensor:
    return torch.tensor([[fx, 38.0, 15.0, 12.5]], dtype=torch.float64)


def translation(x: float, y: float, z: float) -> torch.Tensor:
    zero = torch.zeros(1, 3, dtype=torch.float64)
    return motion_to_transform(zero, torch.tensor([[x, y, z]], dtype=torch.float64))


def shift_of(transform: torch.Tensor, depth: float, camera: torch.Tensor) -> torch.Tensor:
    """Displacement in pixels [2,H,W] of a plane at constant depth."""
    fx, fy, cx, cy = camera[0]
    v, u = torch.meshgrid(torch.arange(24).double(), torch.arange(32).double(), indexing='ij')
    points = depth * torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)])
    rotated = torch.einsum('ij,jhw->ihw', transform[0, :3, :3], points)
    x, y, z = rotated + transform[0, :3, 3, None, None]
    return torch.stack([fx * x / z + cx - u, fy * y / z + cy - v])


@given(vectors, vectors)
@settings(max_examples=50, deadline=None)
def test_rotations_are_rotations_and_motions_invert(v: list[float], t: list[float]) -> None:
    axis_angle, offset = torch.tensor([v]).double(), torch.tensor([t]).double()
    rotation = axis_angle_to_matrix(axis_angle)[0]
    identity = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(rotation @ rotation.T, identity, atol=1e-9, rtol=0)
    assert float(torch.linalg.det(rotation)) == pytest.approx(1, abs=1e-9)
    transform = motion_to_transform(axis_angle, offset)
    for inverse in (invert_transform(transform),
                    motion_to_transform(*invert_motion(axis_angle, offset))):  # fmt: skip
        product = (transform @ inverse)[0]
        torch.testing.assert_close(product, torch.eye(4).double(), atol=1e-9, rtol=0)


@given(vectors)
@settings(max_examples=50, deadline=None)
def test_axis_angle_agrees_with_the_matrix_exponential(v: list[float]) -> None:
    axis_angle = torch.tensor(v).double()
    expected = torch.linalg.matrix_exp(geometry.cross_matrix(axis_angle))
    torch.testing.assert_close(axis_angle_to_matrix(axis_angle), expected, atol=1e-9, rtol=0)


@given(vectors, vectors)
@settings(max_examples=50, deadline=None)
def test_rotating_a_vector_is_the_matrix_product(v: list[float], x: list[float]) -> None:
    axis_angle, vector = torch.tensor(v).double(), torch.tensor(x).double()
    expected = axis_angle_to_matrix(axis_angle) @ vector
    torch.testing.assert_close(geometry.rotate(axis_angle, vector), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize('angle', [0.0, 1e-9, 1e-5, 1e-3, 0.7, 2.9, math.pi - 1e-6])
@pytest.mark.parametrize('axis', [(1, 0, 0), (0, -1, 0), (0, 0, 1), (1, -2, 3), (-3, 1, -2)])
def test_axis_angle_survives_the_matrix(angle: float, axis: tuple[int, int, int]) -> None:
    direction = torch.nn.functional.normalize(torch.tensor(axis).double(), dim=0)
    again = matrix_to_axis_angle(axis_angle_to_matrix(angle * direction))
    torch.testing.assert_close(again, angle * direction, atol=1e-8, rtol=0)


def test_rotation_by_pi_keeps_its_angle() -> None:
    for axis in torch.eye(3, dtype=torch.float64):
        found = matrix_to_axis_angle(axis_angle_to_matrix(math.pi * axis))
        torch.testing.assert_close(found.abs(), math.pi * axis, atol=1e-6, rtol=0)


@pytest.mark.parametrize('size', [0.0, 1e-6, 9e-4, 1.1e-3, 0.5])
def test_rotation_gradient_is_exact_also_at_zero(size: float) -> None:
    vector = torch.full((1, 3), size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(axis_angle_to_matrix, vector)


def test_disparity_covers_the_depth_range_and_falls() -> None:
    disparity = torch.linspace(0, 1, 101, dtype=torch.float64)
    depth = disparity_to_depth(disparity, 0.1, 100.0)
    assert float(depth[0]) == pytest.approx(100)
    assert float(depth[-1]) == pytest.approx(0.1)
    assert bool((depth.diff() < 0).all())
    torch.testing.assert_close(depth_to_disparity(depth, 0.1, 100.0), disparity)


def test_unit_of_depth_scales_exactly() -> None:
    """A range multiplied by a factor is the depth multiplied by it: what export relies on."""
    disparity = torch.rand(100, dtype=torch.float64)
    torch.testing.assert_close(
        disparity_to_depth(disparity, 0.54, 540.0), 5.4 * disparity_to_depth(disparity, 0.1, 100.0)
    )


@pytest.mark.parametrize('fx', [30.0, 55.5])
def test_no_motion_returns_the_source(fx: float) -> None:
    image = texture()
    depth = 0.2 + 5 * torch.rand(1, 1, 24, 32, dtype=torch.float64)
    seen, visible = warp(image, depth, intrinsics(fx), intrinsics(fx), translation(0, 0, 0))
    torch.testing.assert_close(seen, image, atol=1e-4, rtol=0)
    assert float(visible.double().mean()) > 0.9  # the very border may round to either side


def test_sideways_motion_shifts_by_focal_length_times_baseline_over_depth() -> None:
    shift = shift_of(translation(0.3, 0, 0), depth=2.0, camera=intrinsics(40.0))
    torch.testing.assert_close(shift[0], torch.full_like(shift[0], 40 * 0.3 / 2))
    torch.testing.assert_close(shift[1], torch.zeros_like(shift[1]), atol=1e-9, rtol=0)


def test_warp_equals_a_loop_over_pixels() -> None:
    image, camera = texture(), intrinsics()
    source_camera = torch.tensor([[36.0, 41.0, 14.0, 11.0]], dtype=torch.float64)
    rng = torch.Generator().manual_seed(3)
    depth = 1 + 3 * torch.rand(1, 1, 24, 32, generator=rng).double()
    motion = torch.tensor([[0.05, -0.08, 0.1, 0.2, -0.1, 0.3]]).double()
    transform = motion_to_transform(motion[:, :3], motion[:, 3:])
    seen, visible = warp(image, depth, camera, source_camera, transform)
    K_target = geometry.intrinsics_matrix(camera)[0].numpy()
    K_source = geometry.intrinsics_matrix(source_camera)[0].numpy()
    pixels = image[0].numpy()
    for v in range(24):
        for u in range(32):
            ray = np.linalg.inv(K_target) @ [u, v, 1] * float(depth[0, 0, v, u])
            q = K_source @ (transform[0] @ torch.tensor([*ray, 1.0]).double()).numpy()[:3]
            x, y = q[0] / q[2], q[1] / q[2]
            assert bool(visible[0, 0, v, u]) == (0 <= x <= 31 and 0 <= y <= 23 and q[2] > 0)
            x, y = np.clip(x, 0, 31), np.clip(y, 0, 23)
            x0, y0 = min(int(x), 30), min(int(y), 22)
            a, b = x - x0, y - y0
            patch = pixels[:, y0 : y0 + 2, x0 : x0 + 2]
            expected = patch @ [1 - a, a] @ [1 - b, b]
            np.testing.assert_allclose(seen[0, :, v, u].numpy(), expected, atol=1e-9)


def test_points_behind_the_source_are_not_visible() -> None:
    depth = torch.full((1, 1, 24, 32), 1.0, dtype=torch.float64)
    _, visible = warp(texture(), depth, intrinsics(), intrinsics(), translation(0, 0, -2))
    assert not bool(visible.any())


def test_several_sources_and_depths_equal_one_by_one() -> None:
    sources = torch.stack([texture(seed=1), texture(seed=2)])
    depths = 1 + torch.rand(3, 1, 1, 24, 32).double()
    transforms = torch.stack([translation(0.1, 0, 0), translation(0, -0.1, 0.2)])
    cameras = torch.stack([intrinsics(30.0), intrinsics(50.0)])
    projection = geometry.project_to_sources(depths, intrinsics(), cameras, transforms)
    warped = geometry.warp_sources(sources, projection)
    for s in range(2):
        for level in range(3):
            one, visible = warp(
                sources[s], depths[level], intrinsics(), cameras[s], transforms[s]
            )
            torch.testing.assert_close(warped[s, level], one)
            assert torch.equal(projection.visible()[s, level], visible)


def test_warp_gradients() -> None:
    camera = intrinsics()
    depth = (2 + torch.rand(1, 1, 5, 6)).double().requires_grad_()
    motion = torch.tensor([[0.01, 0.02, -0.01, 0.05, 0.02, 0.03]]).double().requires_grad_()
    image = texture(5, 6)

    def seen(depth: torch.Tensor, motion: torch.Tensor) -> torch.Tensor:
        transform = motion_to_transform(motion[:, :3], motion[:, 3:])
        small = camera * 6 / 32
        return warp(image, depth, small, small, transform)[0]

    assert torch.autograd.gradcheck(seen, (depth, motion))


@pytest.mark.parametrize('factor', [0.6, 1.0, 1.7])
def test_focal_correction_leaves_the_optical_flow_as_it_was(factor: float) -> None:
    """What the network sees is flow; the corrected answers explain the same flow."""
    camera, training = intrinsics(40.0 * factor), intrinsics(40.0)
    f = geometry.focal_factor(camera[:, 0], 40.0)
    depth = geometry.correct_depth(torch.full((1, 1, 1, 1), 2.0).double(), f)
    sideways = translation(0.3, 0, 0)
    moved = shift_of(sideways, float(depth), camera)
    torch.testing.assert_close(moved, shift_of(sideways, 2.0, training))
    pan = torch.tensor([[0.0, 0.01, 0.0]], dtype=torch.float64)
    still = torch.zeros(1, 3, dtype=torch.float64)
    turned = motion_to_transform(geometry.correct_axis_angle(pan, f), still)
    centre = shift_of(turned, 1.0, camera)[0, 12, 15]
    expected = shift_of(motion_to_transform(pan, still), 1.0, training)[0, 12, 15]
    assert float(centre) == pytest.approx(float(expected), rel=1e-3)


def test_poses_keep_their_precision_under_autocast() -> None:
    vector = torch.tensor([[0.001, 0.002, -0.003]])
    with torch.autocast('cpu', torch.bfloat16):
        rotation = axis_angle_to_matrix(vector)
        transform = invert_transform(motion_to_transform(vector, vector))
    assert rotation.dtype == transform.dtype == torch.float32
    torch.testing.assert_close(rotation, axis_angle_to_matrix(vector), atol=1e-7, rtol=0)
