"""Pictures and exact depth of a scene from a pinhole camera.

Every surface is a plane, so over the picture its inverse depth, and its surface coordinates
times inverse depth, are linear in the pixel: visibility is a comparison of linear functions.
Colours are sampled twice a pixel in each direction from mip pyramids, which keeps the picture of
a surface the same from near and far.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.synthetic.scene import Scene

_SAMPLES = 2  # per pixel and direction
_NEAR_M = 0.01
_OVERLAP_M = 1e-4  # surfaces reach a little over their edges, so that no gap opens between them
_ROW = 512  # pixels are shaded in rows of this length


@dataclass(frozen=True)
class _Grid:
    """Where rays go through the picture plane: x and y of rays (x, y, 1), and the spacing."""

    x: np.ndarray  # float64 [columns]
    y: np.ndarray  # float64 [rows]
    focal: tuple[float, float]  # in samples

    @classmethod
    def of(cls, camera: Intrinsics, samples: int) -> _Grid:
        dense = camera.scaled(camera.width * samples, camera.height * samples)
        return cls(
            (np.arange(dense.width) - dense.cx) / dense.fx,
            (np.arange(dense.height) - dense.cy) / dense.fy,
            (dense.fx, dense.fy),
        )

    def overlaps(self, window: tuple[float, float, float, float]) -> bool:
        """Whether any ray goes through a window x0, x1, y0, y1."""
        x0, x1, y0, y1 = window
        return bool(
            x0 <= self.x[-1] and x1 >= self.x[0] and y0 <= self.y[-1] and y1 >= self.y[0]
        )


@dataclass(frozen=True, eq=False)
class _Seen:
    """A surface as the camera sees it; coefficients (a, b, c) of a x + b y + c.

    Attributes:
        index: of the surface.
        inverse: inverse depth [1/m].
        u: first surface coordinate times inverse depth.
        v: second one.
        distance: of the camera from its plane [m].
        window: bounds x0, x1, y0, y1 of its picture on the plane z = 1.
    """

    index: int
    inverse: np.ndarray
    u: np.ndarray
    v: np.ndarray
    distance: float
    window: tuple[float, float, float, float]


def render(
    scene: Scene, intrinsics: Intrinsics, world_T_cam: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """See a scene.

    Args:
        scene: what to look at.
        intrinsics: of the camera.
        world_T_cam: pose of the optical frame, [4,4].

    Returns:
        picture uint8 RGB [H,W,3], and depth float32 [H,W] in metres at the pixel centres.
    """
    fine = _Grid.of(intrinsics, _SAMPLES)
    seen = _seen_surfaces(scene, fine, np.asarray(world_T_cam, np.float64))
    _, inverse = _nearest(scene, seen, _Grid.of(intrinsics, 1))
    colours = _shade(scene, seen, fine, _nearest(scene, seen, fine)[0])
    size = (intrinsics.width, intrinsics.height)
    with np.errstate(divide='ignore'):
        depth = np.where(inverse > 0, 1 / inverse, np.float32(np.nan))
    return cv2.resize(colours, size, interpolation=cv2.INTER_AREA), depth


def _seen_surfaces(scene: Scene, grid: _Grid, world_T_cam: np.ndarray) -> list[_Seen]:
    """What faces the camera and lies in its view."""
    rotation, position = world_T_cam[:3, :3], world_T_cam[:3, 3]
    behind = np.einsum('ij,ij->i', scene.normals, scene.origins - position)
    seen = []
    for index in np.flatnonzero(behind < -1e-6):
        surface = scene.surfaces[index]
        window = _window((surface.corners() - position) @ rotation)
        if window is None or not grid.overlaps(window):
            continue
        offset = surface.origin - position
        inverse = rotation.T @ surface.normal / behind[index]
        u = rotation.T @ surface.u_axis - float(surface.u_axis @ offset) * inverse
        v = rotation.T @ surface.v_axis - float(surface.v_axis @ offset) * inverse
        seen.append(_Seen(int(index), inverse, u, v, -float(behind[index]), window))
    return seen


def _window(corners: np.ndarray) -> tuple[float, float, float, float] | None:
    """Bounds on the plane z = 1 of a polygon [n,3] in the camera frame; None where behind."""
    z = corners[:, 2]
    ahead = z > _NEAR_M
    if not ahead.any():
        return None
    points = corners[ahead]
    if not ahead.all():
        following = np.roll(corners, -1, axis=0)
        crossing = ahead != np.roll(ahead, -1)
        start, end = corners[crossing], following[crossing]
        share = (_NEAR_M - start[:, 2:]) / (end[:, 2:] - start[:, 2:])
        points = np.concatenate([points, start + share * (end - start)])
    flat = points[:, :2] / points[:, 2:]
    (x0, y0), (x1, y1) = flat.min(axis=0), flat.max(axis=0)
    return x0, x1, y0, y1


def _linear(coefficients: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """a x + b y + c over a grid, float32 [len(y),len(x)]."""
    a, b, c = coefficients
    return (a * x).astype(np.float32)[None, :] + (b * y + c).astype(np.float32)[:, None]


def _nearest(scene: Scene, seen: list[_Seen], grid: _Grid) -> tuple[np.ndarray, np.ndarray]:
    """Index into `seen` of what each ray meets first, int32 (-1: nothing), and inverse depth."""
    owner = np.full((grid.y.size, grid.x.size), -1, np.int32)
    nearest = np.zeros(owner.shape, np.float32)
    for number, view in enumerate(seen):
        x0, x1, y0, y1 = view.window
        columns = slice(*np.searchsorted(grid.x, (x0 - 1e-3, x1 + 1e-3)))
        rows = slice(*np.searchsorted(grid.y, (y0 - 1e-3, y1 + 1e-3)))
        x, y = grid.x[columns], grid.y[rows]
        if not x.size or not y.size:
            continue
        width, height = scene.surfaces[view.index].size
        inverse = _linear(view.inverse, x, y)
        inside = inverse > nearest[rows, columns]
        for numerator, extent in ((view.u, width), (view.v, height)):
            inside &= _linear(numerator + _OVERLAP_M * view.inverse, x, y) >= 0
            inside &= _linear((extent + _OVERLAP_M) * view.inverse - numerator, x, y) >= 0
        np.copyto(nearest[rows, columns], inverse, where=inside)
        np.copyto(owner[rows, columns], np.int32(number), where=inside)
    return owner, nearest


def _shade(scene: Scene, seen: list[_Seen], grid: _Grid, owner: np.ndarray) -> np.ndarray:
    """Colour of every ray, uint8 RGB; black where it meets nothing."""
    order = np.argsort(owner.ravel(), kind='stable')
    bounds = np.searchsorted(owner.ravel()[order], np.arange(len(seen) + 1))
    x, y = grid.x.astype(np.float32), grid.y.astype(np.float32)
    colours = np.zeros((owner.size, 3), np.uint8)
    for number, view in enumerate(seen):
        pixels = order[bounds[number] : bounds[number + 1]]
        if pixels.size:
            rows, columns = np.divmod(pixels, x.size)
            colours[pixels] = _surface_colours(scene, view, grid, x[columns], y[rows])
    return colours.reshape(*owner.shape, 3)


def _surface_colours(
    scene: Scene, view: _Seen, grid: _Grid, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Colours of one surface at rays (x, y, 1), uint8 [n,3]."""
    surface = scene.surfaces[view.index]
    material = surface.material

    def along(coefficients: np.ndarray) -> np.ndarray:
        a, b, c = coefficients.astype(np.float32)
        return a * x + b * y + c

    depth = 1 / along(view.inverse)
    u, v = along(view.u) * depth, along(view.v) * depth
    if material.tile_m is None:
        tile, offset = surface.size, (0.0, 0.0)
    else:
        tile, offset = (material.tile_m, material.tile_m), surface.offset
    levels = scene.textures[material.texture]
    texels = levels[0].shape[0]
    density = texels / np.sqrt(tile[0] * tile[1])
    # A sample covers depth^3 / (fx fy distance) of the plane, longer than wide when seen aslant;
    # the pyramid level lies between its width and its length.
    area = depth**3 / (grid.focal[0] * grid.focal[1] * view.distance)
    aslant = depth * np.sqrt(1 + x * x + y * y) / view.distance
    level = np.log2(density * np.sqrt(area) * np.maximum(aslant, 1) ** 0.25)
    level = np.clip(level, 0, len(levels) - 1)
    colours = _trilinear(
        levels, (u + offset[0]) * (texels / tile[0]), (v + offset[1]) * (texels / tile[1]), level
    )

    light = scene.lightmaps[view.index]
    rows, columns = light.shape
    brightness = _sample(
        light,
        u * (columns / surface.size[0]) - 0.5,
        v * (rows / surface.size[1]) - 0.5,
        cv2.BORDER_REPLICATE,
    )
    tint = np.array(material.tint, np.float32)
    return np.minimum(colours * (brightness[:, None] * tint), 255).astype(np.uint8)


def _trilinear(
    levels: tuple[np.ndarray, ...], u: np.ndarray, v: np.ndarray, level: np.ndarray
) -> np.ndarray:
    """Texture at texel coordinates of level 0, between two pyramid levels, float32 [n,3]."""
    total = np.zeros((u.size, 3), np.float32)
    for index in range(int(level.min()), min(int(level.max()) + 1, len(levels) - 1) + 1):
        weight = 1 - np.abs(level - index)
        scale = np.float32(0.5**index)
        if weight.min() > 0:
            texture = _sample(levels[index], u * scale - 0.5, v * scale - 0.5, cv2.BORDER_WRAP)
            total += weight[:, None] * texture
            continue
        part = np.flatnonzero(weight > 0)
        if part.size:
            texture = _sample(
                levels[index], u[part] * scale - 0.5, v[part] * scale - 0.5, cv2.BORDER_WRAP
            )
            total[part] += weight[part, None] * texture
    return total


def _sample(image: np.ndarray, x: np.ndarray, y: np.ndarray, border: int) -> np.ndarray:
    """Bilinear samples of an image at n points; OpenCV wants its maps two-dimensional."""
    rows = -(-x.size // _ROW)
    maps = np.zeros((2, rows * _ROW), np.float32)
    maps[0, : x.size], maps[1, : x.size] = x, y
    samples = cv2.remap(
        image,
        maps[0].reshape(rows, _ROW),
        maps[1].reshape(rows, _ROW),
        cv2.INTER_LINEAR,
        borderMode=border,
    )
    return samples.reshape(rows * _ROW, -1)[: x.size].squeeze(axis=1 if image.ndim == 2 else ())
