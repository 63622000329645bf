"""What a synthetic scene is made of: materials, boxes, and the flat surfaces they give.

World frame: x and y along the floor, z up, metres. The room is the box from (0, 0, 0) to its
size, seen from inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from depth_ros.synthetic.textures import Colour


@dataclass(frozen=True)
class Material:
    """A texture on a surface.

    Attributes:
        texture: index into the scene's textures.
        tile_m: side of one repetition [m]; None stretches the texture over the whole surface.
        tint: colour the texture is multiplied with.
        glow: light the surface gives by itself, as a share of full brightness.
    """

    texture: int
    tile_m: float | None = 1.0
    tint: Colour = (1.0, 1.0, 1.0)
    glow: float = 0.0

    def tinted(self, tint: Colour) -> Material:
        """The same material in another colour."""
        return replace(self, tint=tint)


@dataclass(frozen=True)
class Box:
    """A solid box turned about the vertical.

    Attributes:
        centre: in the world, or in the frame of the furniture it is a part of [m].
        size: along its own x, y, z [m].
        material: of the sides and, without another, of the top.
        yaw: counter-clockwise seen from above [rad].
        top: material of the upper face.
    """

    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    material: Material
    yaw: float = 0.0
    top: Material | None = None

    def placed(self, x: float, y: float, yaw: float) -> Box:
        """The box of a piece of furniture, with the furniture moved to (x, y) and turned."""
        cos, sin = float(np.cos(yaw)), float(np.sin(yaw))
        cx, cy, cz = self.centre
        centre = (x + cos * cx - sin * cy, y + sin * cx + cos * cy, cz)
        return replace(self, centre=centre, yaw=self.yaw + yaw)

    @property
    def world_R_box(self) -> np.ndarray:
        """Rotation from the axes of the box to those of the world, float64 [3,3]."""
        return vertical_rotation(self.yaw)

    def footprint(self) -> np.ndarray:
        """The four corners seen from above, float64 [4,2]."""
        half = np.array(self.size[:2]) / 2
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        return corners @ self.world_R_box[:2, :2].T + np.array(self.centre[:2])


@dataclass(frozen=True, eq=False)
class Surface:
    """A flat rectangle with a front side.

    Attributes:
        origin: the corner where both surface coordinates are 0, float64 [3].
        u_axis: unit vector of the first surface coordinate, float64 [3].
        v_axis: unit vector of the second one, downwards on upright surfaces, float64 [3].
        normal: unit vector out of the front, float64 [3].
        size: extent in u and v [m].
        material: what it shows.
        offset: where in the texture the origin lies [m], so that equal boxes differ.
    """

    origin: np.ndarray
    u_axis: np.ndarray
    v_axis: np.ndarray
    normal: np.ndarray
    size: tuple[float, float]
    material: Material
    offset: tuple[float, float] = (0.0, 0.0)

    def corners(self) -> np.ndarray:
        """The four corners in order around the surface, float64 [4,3]."""
        u, v = self.u_axis * self.size[0], self.v_axis * self.size[1]
        return self.origin + np.stack([0 * u, u, u + v, v])


@dataclass(frozen=True, eq=False)
class Scene:
    """A lit room full of boxes, ready to be rendered and walked through.

    Attributes:
        size: of the room in x, y, z [m].
        boxes: everything that stands, lies or hangs in it.
        surfaces: of the room and the boxes.
        lightmaps: display brightness over each surface, float32 [rows,columns] each; shared by
            all views, so that shading never depends on the viewer.
        textures: mip pyramids, uint8 RGB.
    """

    size: tuple[float, float, float]
    boxes: tuple[Box, ...]
    surfaces: tuple[Surface, ...]
    lightmaps: tuple[np.ndarray, ...]
    textures: tuple[tuple[np.ndarray, ...], ...]

    @cached_property
    def origins(self) -> np.ndarray:
        """A corner of every surface, float64 [N,3]."""
        return np.stack([surface.origin for surface in self.surfaces])

    @cached_property
    def normals(self) -> np.ndarray:
        """The unit vector out of the front of every surface, float64 [N,3]."""
        return np.stack([surface.normal for surface in self.surfaces])


@dataclass(frozen=True)
class RoomMaterials:
    """What floor, ceiling and the four walls (+x, -x, +y, -y) are made of."""

    floor: Material
    ceiling: Material
    walls: tuple[Material, Material, Material, Material]


def vertical_rotation(yaw: float) -> np.ndarray:
    """Rotation about z, float64 [3,3]."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def box_surfaces(box: Box) -> list[Surface]:
    """The faces of a box, seen from outside; one that lies on the floor is left out."""
    faces = _faces(np.array(box.centre), np.array(box.size), box.world_R_box, outwards=1.0)
    materials = [box.material] * 4 + [box.top or box.material, box.material]
    x, y, z = box.centre
    offset = (1.37 * x + 2.11 * y, 0.73 * x - 0.59 * y + 1.91 * z)
    surfaces = [Surface(*face, material, offset) for face, material in zip(faces, materials)]
    on_floor = box.centre[2] - box.size[2] / 2 < 1e-3
    return surfaces[:5] if on_floor else surfaces


def room_surfaces(size: tuple[float, float, float], materials: RoomMaterials) -> list[Surface]:
    """Walls, ceiling and floor of a room, seen from inside."""
    extent = np.array(size)
    faces = _faces(extent / 2, extent, np.eye(3), outwards=-1.0)
    order = (*materials.walls, materials.ceiling, materials.floor)
    return [Surface(*face, material) for face, material in zip(faces, order)]


def _faces(
    centre: np.ndarray, size: np.ndarray, rotation: np.ndarray, outwards: float
) -> Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[float, float]]]:
    """Origin, u axis, v axis, normal and size of the faces +x, -x, +y, -y, +z, -z."""
    faces = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            u = rotation[:, 1 if axis == 0 else 0]
            v = rotation[:, 1] if axis == 2 else -rotation[:, 2]
            u_length = size[1 if axis == 0 else 0]
            v_length = size[1 if axis == 2 else 2]
            middle = centre + sign * size[axis] / 2 * rotation[:, axis]
            origin = middle - u * u_length / 2 - v * v_length / 2
            normal = outwards * sign * rotation[:, axis]
            faces.append((origin, u, v, normal, (float(u_length), float(v_length))))
    return faces
