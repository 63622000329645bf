"""Light on the surfaces of a scene: lamps with soft shadows, daylight, ambient occlusion.

It is computed once per scene and stored as a coarse map per surface. As the surfaces are matt
(Lambertian), a point looks the same from everywhere, which is what photometric losses assume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth_ros.synthetic.scene import Box, Surface

_ROOM_TEXEL_M, _BOX_TEXEL_M = 0.15, 0.08
_MAX_ROOM_TEXELS, _MAX_BOX_TEXELS = 64, 16
_REACH_M = 1.2  # how far away things still darken a corner
_DIRECTIONS = 20
_SHADOW_SAMPLES = 3
_GAMMA = 2.2
_EPSILON = 1e-9


@dataclass(frozen=True)
class Lamp:
    """A light below the ceiling: where it is [m], its radius [m], and its strength."""

    position: tuple[float, float, float]
    radius: float
    strength: float


@dataclass(frozen=True)
class Lights:
    """All light of a scene; shares of full brightness."""

    ambient: float
    daylight: float
    daylight_direction: tuple[float, float, float]
    lamps: tuple[Lamp, ...]


@dataclass(frozen=True)
class _Texels:
    """Every light map's sample points in one array, slightly in front of the surfaces."""

    points: np.ndarray  # float32 [N,3]
    normals: np.ndarray  # float32 [N,3]
    shapes: tuple[tuple[int, int], ...]


def bake(
    size: tuple[float, float, float],
    boxes: Sequence[Box],
    surfaces: Sequence[Surface],
    room_surfaces: int,
    lights: Lights,
) -> tuple[np.ndarray, ...]:
    """Display brightness over every surface, float32 [rows,columns] each, rows along v.

    Args:
        size: of the room [m].
        boxes: what casts shadows.
        surfaces: what is lit; the first `room_surfaces` are the room's own.
        room_surfaces: how many.
        lights: of the scene.
    """
    texels = _sample_points(surfaces, room_surfaces)
    openness = _openness(size, boxes, texels)
    day = np.maximum(texels.normals @ np.array(lights.daylight_direction, np.float32), 0)
    linear = openness * (lights.ambient + lights.daylight * day)
    for lamp in lights.lamps:
        linear += lamp.strength * _lamp_light(lamp, boxes, texels)
    linear *= 0.62 / np.mean(linear)
    display = np.clip(linear, 0.02, 1.35) ** (1 / _GAMMA)
    maps, at = [], 0
    for surface, (rows, columns) in zip(surfaces, texels.shapes):
        values = display[at : at + rows * columns].reshape(rows, columns)
        maps.append(np.maximum(values, surface.material.glow).astype(np.float32))
        at += rows * columns
    return tuple(maps)


def _sample_points(surfaces: Sequence[Surface], room_surfaces: int) -> _Texels:
    points, normals, shapes = [], [], []
    for index, surface in enumerate(surfaces):
        texel, most = (
            (_ROOM_TEXEL_M, _MAX_ROOM_TEXELS)
            if index < room_surfaces
            else (_BOX_TEXEL_M, _MAX_BOX_TEXELS)
        )
        columns, rows = (int(np.clip(round(s / texel), 1, most)) for s in surface.size)
        u = (np.arange(columns) + 0.5) / columns * surface.size[0]
        v = (np.arange(rows) + 0.5) / rows * surface.size[1]
        grid = u[None, :, None] * surface.u_axis + v[:, None, None] * surface.v_axis
        points.append((surface.origin + 2e-3 * surface.normal + grid).reshape(-1, 3))
        normals.append(np.broadcast_to(surface.normal, points[-1].shape))
        shapes.append((rows, columns))
    return _Texels(
        np.concatenate(points).astype(np.float32),
        np.concatenate(normals).astype(np.float32),
        tuple(shapes),
    )


def _openness(
    size: tuple[float, float, float],
    boxes: Sequence[Box],
    texels: _Texels,
) -> np.ndarray:
    """Share of the hemisphere that is open, near things weighing more, float32 [N]."""
    points, normals = texels.points, texels.normals
    shares = np.zeros(len(points), np.float32)
    for direction in _sphere(_DIRECTIONS):
        # A direction below the horizon is mirrored above it.
        facing = normals @ direction
        directions = np.where(facing[:, None] < 0, -direction, direction).astype(np.float32)
        distance = _wall_distance(size, points, directions)
        for box in boxes:
            radius = 0.5 * float(np.linalg.norm(box.size)) + _REACH_M
            offset: np.ndarray = points - np.array(box.centre, np.float32)
            near = np.flatnonzero(np.einsum('ij,ij->i', offset, offset) < radius * radius)
            if near.size:
                hit = _box_distance(box, points[near], directions[near])
                distance[near] = np.minimum(distance[near], hit)
        shares += np.abs(facing) * np.minimum(distance / _REACH_M, 1)
    total = np.abs(normals @ _sphere(_DIRECTIONS).T).sum(axis=1)
    return shares / np.maximum(total, _EPSILON)


def _lamp_light(lamp: Lamp, boxes: Sequence[Box], texels: _Texels) -> np.ndarray:
    """Light of one lamp on every texel with soft shadows, float32 [N]."""
    total = np.zeros(len(texels.points), np.float32)
    for angle in np.arange(_SHADOW_SAMPLES) * (2 * np.pi / _SHADOW_SAMPLES):
        position = np.array(lamp.position, np.float32)
        position[:2] += (lamp.radius * np.cos(angle), lamp.radius * np.sin(angle))
        ray = position - texels.points
        facing = np.einsum('ij,ij->i', ray, texels.normals)
        squared = np.einsum('ij,ij->i', ray, ray)
        lit = np.flatnonzero(facing > 0)
        for box in boxes:
            if lit.size:
                # The ray is not of unit length: 1 is the lamp itself.
                lit = lit[_box_distance(box, texels.points[lit], ray[lit]) > 0.97]
        cosine = facing[lit] / np.sqrt(squared[lit])
        total[lit] += cosine / (1 + 0.35 * squared[lit])
    return total / _SHADOW_SAMPLES


def _sphere(count: int) -> np.ndarray:
    """Directions spread evenly, a Fibonacci lattice, float32 [count,3]."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - z * z)
    return np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1).astype(np.float32)


def _wall_distance(
    size: tuple[float, float, float], points: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """How far rays go inside the room before they meet a wall."""
    with np.errstate(divide='ignore', invalid='ignore'):
        ahead = np.where(directions > 0, np.array(size, np.float32) - points, -points)
        steps = np.where(directions == 0, np.inf, np.abs(ahead / directions))
    return steps.min(axis=1).astype(np.float32)


def _box_distance(box: Box, points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Ray parameter where a box is entered, inf where it is missed; slab test, float32 [N]."""
    rotation = box.world_R_box.astype(np.float32)
    local = (points - np.array(box.centre, np.float32)) @ rotation
    slope = directions @ rotation
    slope = np.where(np.abs(slope) < _EPSILON, np.float32(_EPSILON), slope)
    half = np.array(box.size, np.float32) / 2
    middle, reach = -local / slope, half / np.abs(slope)
    enter = (middle - reach).max(axis=1)
    leave = (middle + reach).min(axis=1)
    hit = (enter <= leave) & (leave > 1e-3)
    return np.where(hit, np.maximum(enter, 0), np.float32(np.inf))
