"""Pinhole geometry on tensors: rotations, rigid transforms, view synthesis, focal correction.

Conventions: camera frames are optical (x right, y down, z forward); `a_T_b` takes points of
frame b to frame a; intrinsics are [..., 4] = (fx, fy, cx, cy) in pixels with pixel centres at
integers; depth is z. Source: Godard et al., Digging Into Self-Supervised Monocular Depth
Estimation, ICCV 2019, section 3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_SMALL_ANGLE_SQUARED = 1e-6
# Nearest z at which a point is still projected; nearer points are marked as not visible.
_NEAREST_Z = 1e-3


def disparity_to_depth(disparity: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """The network's sigmoid output (0 far, 1 near) as depth in the network's unit, same shape."""
    near, far = 1.0 / min_depth, 1.0 / max_depth
    return 1.0 / (far + (near - far) * disparity)


def cross_matrix(vector: Tensor) -> Tensor:
    """[..., 3] -> [..., 3, 3] with cross_matrix(a) @ b = a x b."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1)
    return rows.reshape(*vector.shape[:-1], 3, 3)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rotation vectors [..., 3] in radians -> rotation matrices [..., 3, 3] (Rodrigues)."""
    a, b = _rodrigues(axis_angle)
    cross = cross_matrix(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + a[..., None] * cross + b[..., None] * small_product(cross, cross)


def rotate(axis_angle: Tensor, vector: Tensor) -> Tensor:
    """Vectors [..., 3] turned by rotation vectors [..., 3] in radians (Rodrigues)."""
    a, b = _rodrigues(axis_angle)
    once = _cross(axis_angle, vector)
    return vector + a * once + b * _cross(axis_angle, once)


def _rodrigues(axis_angle: Tensor) -> tuple[Tensor, Tensor]:
    """a, b [..., 1] with R = I + a K + b K^2 for K, the cross matrix of the unnormalised vector.

    They are series near zero, so that value and gradient are exact there too (a pose network
    starts at zero).
    """
    squared = (axis_angle * axis_angle).sum(-1, keepdim=True)
    small = squared < _SMALL_ANGLE_SQUARED
    safe = torch.where(small, 1.0, squared)
    angle = safe.sqrt()
    a = torch.where(small, 1.0 - squared / 6.0, angle.sin() / angle)
    b = torch.where(small, 0.5 - squared / 24.0, (1.0 - angle.cos()) / safe)
    return a, b


def _cross(a: Tensor, b: Tensor) -> Tensor:
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=-1)


def matrix_to_axis_angle(rotation: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] -> rotation vectors [..., 3] of angle 0..pi.

    Goes over the quaternion whose largest component is computed first, which is accurate at
    every angle, pi included. Not meant to be differentiated at the identity.
    """
    m = rotation
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    diagonal = torch.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], dim=-1)
    # 4 q q^T, from which the row of the largest component is the quaternion up to scale.
    outer = rotation.new_zeros(*rotation.shape[:-2], 4, 4)
    outer[..., 0, 0] = 1.0 + trace
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        outer[..., i + 1, i + 1] = 1.0 + 2.0 * diagonal[..., i] - trace
        outer[..., 0, i + 1] = outer[..., i + 1, 0] = m[..., k, j] - m[..., j, k]
        outer[..., i + 1, j + 1] = outer[..., j + 1, i + 1] = m[..., i, j] + m[..., j, i]
    largest = torch.diagonal(outer, dim1=-2, dim2=-1).argmax(-1)
    index = largest[..., None, None].expand(*largest.shape, 1, 4)
    quaternion = functional.normalize(outer.gather(-2, index).squeeze(-2), dim=-1)
    quaternion = quaternion * torch.where(quaternion[..., :1] < 0, -1.0, 1.0)
    sine = quaternion[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(sine, quaternion[..., :1])
    factor = torch.where(sine < 1e-7, torch.full_like(sine, 2.0), angle / sine.clamp(min=1e-7))
    return quaternion[..., 1:] * factor


def small_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b for [..., n, k] and [..., k, m] of a few rows, as a sum of products.

    Unlike matmul it keeps its precision under automatic mixed precision, where poses rounded to
    half would move the image by pixels.
    """
    return (a[..., :, :, None] * b[..., None, :, :]).sum(-2)


def make_transform(rotation: Tensor, translation: Tensor) -> Tensor:
    """[..., 3, 3] and [..., 3] -> [..., 4, 4], X -> R X + t."""
    top = torch.cat([rotation, translation[..., None]], dim=-1)
    # A row made on the device: one that is sent there would be waited for.
    bottom = torch.eye(4, dtype=top.dtype, device=top.device)[3:].expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], dim=-2)


def motion_to_transform(axis_angle: Tensor, translation: Tensor) -> Tensor:
    """A motion as the pose network states it, [..., 3] twice -> Trans(t) @ R, [..., 4, 4]."""
    return make_transform(axis_angle_to_matrix(axis_angle), translation)


def invert_transform(transform: Tensor) -> Tensor:
    """The exact inverse of rigid transforms [..., 4, 4]."""
    rotation = transform[..., :3, :3].transpose(-1, -2)
    translation = -small_product(rotation, transform[..., :3, 3:]).squeeze(-1)
    return make_transform(rotation, translation)


def invert_motion(axis_angle: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of Trans(t) R as (axis-angle, translation): (-v, -R^T t), each [..., 3]."""
    return -axis_angle, -rotate(-axis_angle, translation)


def focal_factor(fx: Tensor, training_fx: float) -> Tensor:
    """f = fx / training_fx of each sample's camera, in pixels of the network's input, [B].

    A network that learnt depth at one focal length sees objects of a longer lens larger, hence
    nearer, and pans as faster: to first order depth = f * network depth, rotation = network
    rotation / f; translation needs no correction (flow * depth / focal length is unchanged).
    """
    return fx / training_fx


def correct_depth(network_depth: Tensor, factor: Tensor) -> Tensor:
    """Depth [B, ...] of a network trained at another focal length; factor [B]."""
    return network_depth * factor.reshape(-1, *[1] * (network_depth.dim() - 1))


def correct_axis_angle(network_axis_angle: Tensor, factor: Tensor) -> Tensor:
    """Rotation vector [B, 3] of a network trained at another focal length; factor [B]."""
    return network_axis_angle / factor[:, None]


def scaled_intrinsics(intrinsics: Tensor, scale: float) -> Tensor:
    """(fx, fy, cx, cy) [..., 4] of images resized by one factor, pixel centres at integers."""
    focal, centre = intrinsics[..., :2], intrinsics[..., 2:]
    return torch.cat([focal * scale, (centre + 0.5) * scale - 0.5], dim=-1)


def intrinsics_matrix(intrinsics: Tensor) -> Tensor:
    """[..., 4] = (fx, fy, cx, cy) -> K [..., 3, 3]."""
    fx, fy, cx, cy = intrinsics.unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], dim=-1)
    return rows.reshape(*intrinsics.shape[:-1], 3, 3)


def inverse_intrinsics_matrix(intrinsics: Tensor) -> Tensor:
    """[..., 4] = (fx, fy, cx, cy) -> K^-1 [..., 3, 3]."""
    fx, fy, cx, cy = intrinsics.unbind(-1)
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = torch.stack([1 / fx, zero, -cx / fx, zero, 1 / fy, -cy / fy, zero, zero, one], dim=-1)
    return rows.reshape(*intrinsics.shape[:-1], 3, 3)


def map_pixels(matrix: Tensor, height: int, width: int) -> Tensor:
    """matrix [..., 3, 3] applied to the pixels (u, v, 1) of an image -> [..., 3, H, W]."""
    u = torch.arange(width, dtype=matrix.dtype, device=matrix.device)
    v = torch.arange(height, dtype=matrix.dtype, device=matrix.device)[:, None]
    by_u, by_v, constant = (column[..., None, None] for column in matrix.unbind(-1))
    return by_u * u + (by_v * v + constant)


@dataclass(frozen=True)
class Projection:
    """Where a target's pixels are seen in each source image.

    grid: [S, L, B, H, W, 2] in the coordinates of grid_sample(align_corners=True); z: depth in
    the source camera [S, L, B, 1, H, W]. S counts sources, L the depth hypotheses (scales of the
    decoder).
    """

    grid: Tensor
    z: Tensor

    @torch.no_grad()
    def visible(self) -> Tensor:
        """bool [S, L, B, 1, H, W], false behind the source camera and outside its image."""
        return (self.grid.abs().amax(-1) <= 1.0).unsqueeze(3) & (self.z > _NEAREST_Z)


def project_to_sources(
    depth: Tensor,
    target_intrinsics: Tensor,
    source_intrinsics: Tensor,
    source_T_target: Tensor,
) -> Projection:
    """Projects every target pixel into every source, for several depth maps at once.

    depth [L, B, 1, H, W]; target_intrinsics [B, 4]; source_intrinsics [S, B, 4];
    source_T_target [S, B, 4, 4]. Target and sources have the same image size.

    q = K_s (R K_t^-1 p d + t) is d * (K_s R K_t^-1) p + K_s t: the first product depends on no
    depth and is computed once for all L maps. The normalisation of grid_sample is folded into
    K_s, so that one division a coordinate is all that is left per pixel.
    """
    height, width = depth.shape[-2:]
    fx, fy, cx, cy = source_intrinsics.unbind(-1)
    by_x, by_y = 2.0 / (width - 1), 2.0 / (height - 1)
    in_grid = torch.stack([by_x * fx, by_y * fy, by_x * cx - 1.0, by_y * cy - 1.0], dim=-1)
    source_K = intrinsics_matrix(in_grid)
    rotation = source_T_target[..., :3, :3]
    homography = small_product(
        small_product(source_K, rotation), inverse_intrinsics_matrix(target_intrinsics)
    )
    rays = map_pixels(homography, height, width)[:, None]
    offset = small_product(source_K, source_T_target[..., :3, 3:])[:, None, :, :, None]
    depth = depth[None, :, :, 0]
    x, y, z = (
        torch.addcmul(shift, ray, depth) for ray, shift in zip(rays.unbind(3), offset.unbind(3))
    )
    inverse_z = z.clamp(min=_NEAREST_Z).reciprocal()
    return Projection(torch.stack([x * inverse_z, y * inverse_z], dim=-1), z.unsqueeze(3))


def warp_sources(sources: Tensor, projection: Projection) -> Tensor:
    """Samples source images where the target's pixels fall, bilinear, border padding.

    sources [S, B, C, H, W] -> [S, L, B, C, H, W], all in one grid_sample.
    """
    count, levels, batch = projection.grid.shape[:3]
    channels, height, width = sources.shape[2:]
    images = sources[:, None].expand(-1, levels, -1, -1, -1, -1)
    sampled = functional.grid_sample(
        images.reshape(count * levels * batch, channels, height, width),
        projection.grid.reshape(count * levels * batch, height, width, 2),
        mode='bilinear',
        padding_mode='border',
        align_corners=True,
    )
    return sampled.reshape(count, levels, batch, channels, height, width)
