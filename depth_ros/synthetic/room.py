"""Rooms to walk through: materials, furniture along the walls and in between, lamps."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_ros.synthetic import furniture
from depth_ros.synthetic.furniture import Palette, Piece
from depth_ros.synthetic.lighting import Lamp, Lights, bake
from depth_ros.synthetic.scene import (
    Box,
    Material,
    RoomMaterials,
    Scene,
    box_surfaces,
    room_surfaces,
)
from depth_ros.synthetic.textures import (
    Colour,
    TextureKind,
    make_page,
    make_picture,
    make_texture,
    pyramid,
    random_colour,
)

_CELL_M = 0.05  # of the floor plan
_AISLE_M = 0.95  # kept free around furniture in the middle of a room
_MIN_FREE_SHARE = 0.42  # of the floor, so that there is somewhere to walk

_Maker = Callable[[np.random.Generator, Palette], Piece]
_AT_WALLS: tuple[_Maker, ...] = (
    furniture.shelf,
    furniture.cabinet,
    furniture.kitchen_run,
    furniture.sofa,
    furniture.desk,
    furniture.bed,
    furniture.crates,
)
_IN_THE_MIDDLE: tuple[_Maker, ...] = (
    furniture.table,
    furniture.sofa,
    furniture.crates,
    furniture.chair,
)


class WallStyle(enum.Enum):
    """Whether walls show anything to match between views."""

    TEXTURED = 'textured'
    PLAIN = 'plain'


class _Plan:
    """Which parts of the floor are taken."""

    def __init__(self, width: float, length: float) -> None:
        self.width, self.length = width, length
        self._taken = np.zeros((int(length / _CELL_M), int(width / _CELL_M)), np.uint8)

    def fits(self, area: Box, margin: float) -> bool:
        """Whether a footprint is inside the room and free, with a margin around it."""
        corners = area.footprint()
        if (corners < -1e-6).any() or (corners > (self.width + 1e-6, self.length + 1e-6)).any():
            return False
        mask = self._mask(replace(area, size=(area.size[0] + 2 * margin,
                                              area.size[1] + 2 * margin, area.size[2])))
        return not (mask & self._taken).any()

    def take(self, area: Box) -> None:
        """Mark a footprint as taken."""
        self._taken |= self._mask(area)

    @property
    def free_share(self) -> float:
        """Share of the floor that is free."""
        return 1 - float(self._taken.mean())

    def _mask(self, area: Box) -> np.ndarray:
        mask = np.zeros_like(self._taken)
        corners = np.rint(area.footprint() / _CELL_M).astype(np.int32)
        cv2.fillConvexPoly(mask, corners, (1,))
        return mask


@dataclass(frozen=True)
class _Decor:
    """Everything a room is made of."""

    room: RoomMaterials
    palette: Palette
    lamp: Material
    textures: tuple[tuple[np.ndarray, ...], ...]


def make_scene(seed: int, walls: WallStyle = WallStyle.TEXTURED) -> Scene:
    """A furnished room, hall or corridor; the same seed gives the same room.

    Args:
        seed: of everything random in it.
        walls: PLAIN leaves walls and ceiling without texture and pictures.
    """
    rng = np.random.default_rng(seed)
    size = _room_size(rng)
    decor = _decor(rng, walls)
    boxes = _lamps(rng, size, decor.lamp)
    lamps = tuple(
        Lamp((*box.centre[:2], size[2] - 0.12), 0.25, rng.uniform(0.5, 1.2)) for box in boxes
    )
    boxes += _furnish(rng, size, decor.palette)
    if walls is WallStyle.TEXTURED:
        boxes += _wall_hangings(rng, size, decor.palette, boxes)
    surfaces = room_surfaces(size, decor.room)
    own = len(surfaces)
    for box in boxes:
        surfaces += box_surfaces(box)
    direction = np.array([rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(0.3, 1.2)])
    direction /= np.linalg.norm(direction)
    lights = Lights(
        ambient=rng.uniform(0.3, 0.6),
        daylight=rng.uniform(0.1, 0.45),
        daylight_direction=(float(direction[0]), float(direction[1]), float(direction[2])),
        lamps=lamps,
    )
    lightmaps = bake(size, boxes, surfaces, own, lights)
    return Scene(size, tuple(boxes), tuple(surfaces), lightmaps, decor.textures)


def _room_size(rng: np.random.Generator) -> tuple[float, float, float]:
    kind = rng.random()
    height = rng.uniform(2.4, 3.2)
    if kind < 0.15:  # a corridor
        return rng.uniform(2.4, 3.2), rng.uniform(7.0, 9.5), height
    if kind < 0.3:  # a hall
        return rng.uniform(7.0, 8.5), rng.uniform(7.0, 9.0), rng.uniform(3.0, 4.2)
    return rng.uniform(3.8, 6.2), rng.uniform(4.2, 7.0), height


def _decor(rng: np.random.Generator, walls: WallStyle) -> _Decor:
    textures: list[tuple[np.ndarray, ...]] = []

    def material(kind: TextureKind, colour: Colour, tile_m: float) -> Material:
        textures.append(pyramid(make_texture(kind, rng, colour)))
        return Material(len(textures) - 1, tile_m)

    def picture(image: np.ndarray) -> Material:
        textures.append(pyramid(image))
        return Material(len(textures) - 1, None)

    def pick(*kinds: TextureKind) -> TextureKind:
        return kinds[int(rng.integers(len(kinds)))]

    def wood_colour() -> Colour:
        shade = rng.uniform(0.35, 1.1)
        return 0.72 * shade, rng.uniform(0.42, 0.55) * shade, rng.uniform(0.22, 0.38) * shade

    k = TextureKind
    floor_kind = pick(k.PLANKS, k.PLANKS, k.TILES, k.CHECKER, k.FABRIC, k.TERRAZZO, k.CONCRETE)
    floor_colour = (
        wood_colour() if floor_kind is k.PLANKS else random_colour(rng, (0.03, 0.35), (0.35, 0.85))
    )
    floor = material(floor_kind, floor_colour, rng.uniform(1.0, 2.4))
    wall_kinds = (k.PLASTER, k.PLASTER, k.BRICKS, k.STRIPES, k.TILES, k.CONCRETE, k.MARBLE)
    wall = [
        material(pick(*wall_kinds), random_colour(rng, (0.03, 0.32), (0.6, 0.97)), t)
        for t in rng.uniform(1.2, 2.6, 2)
    ]
    ceiling = material(
        pick(k.PLASTER, k.PLASTER, k.TILES, k.PLANKS, k.CONCRETE),
        random_colour(rng, (0.0, 0.15), (0.8, 0.97)),
        rng.uniform(1.2, 2.4),
    )
    textures.append((np.full((2, 2, 3), 225, np.uint8),))
    smooth = Material(len(textures) - 1)
    if walls is WallStyle.PLAIN:
        tint = random_colour(rng, (0.0, 0.2), (0.85, 1.0))
        wall, ceiling = [smooth.tinted(tint)] * 2, smooth
    feature = int(rng.integers(5))  # one wall of another material, or none
    around = tuple(wall[1] if wall == feature else wall[0] for side in range(4))
    palette = Palette(
        woods=tuple(material(k.PLANKS, wood_colour(), rng.uniform(0.8, 1.6)) for _ in range(3)),
        paints=tuple(
            material(pick(k.PLASTER, k.CONCRETE), random_colour(rng, s, (0.4, 0.95)), 0.8)
            for s in ((0.0, 0.1), (0.2, 0.8), (0.2, 0.8))
        ),
        fabrics=tuple(
            material(pick(k.FABRIC, k.STRIPES, k.CHECKER), random_colour(rng, s, (0.4, 0.9)), 0.7)
            for s in ((0.0, 0.4), (0.2, 0.7))
        ),
        stones=tuple(
            material(pick(k.MARBLE, k.TERRAZZO), random_colour(rng, (0.0, 0.3), (0.3, 0.9)), 0.9)
            for _ in range(2)
        ),
        pictures=tuple(
            picture(make_picture(rng) if i % 3 else make_page(rng)) for i in range(5)
        ),
    )
    lamp = replace(smooth, tint=(1.2, 1.2, 1.15), glow=1.0)
    return _Decor(
        RoomMaterials(floor, ceiling, (around[0], around[1], around[2], around[3])),
        palette,
        lamp,
        tuple(textures),
    )


def _lamps(
    rng: np.random.Generator, size: tuple[float, float, float], material: Material
) -> list[Box]:
    count = max(1, round(size[1] / 3.2))
    shape = (rng.uniform(0.3, 0.6), rng.uniform(0.3, 1.2), 0.06)
    return [
        Box((size[0] * rng.uniform(0.4, 0.6), size[1] * (i + 0.5) / count, size[2] - 0.03),
            shape, material)
        for i in range(count)
    ]  # fmt: skip


def _furnish(
    rng: np.random.Generator, size: tuple[float, float, float], palette: Palette
) -> list[Box]:
    """Furniture along the walls, then in the middle, then pillars, beams and a rug."""
    width, length, height = size
    plan = _Plan(width, length)
    boxes: list[Box] = []

    def place(piece: Piece, x: float, y: float, yaw: float, margin: float) -> bool:
        area = Box((x, y, 0), (piece.width, piece.depth, 1), palette.woods[0], yaw)
        if not plan.fits(area, margin):
            return False
        plan.take(area)
        boxes.extend(part.placed(x, y, yaw) for part in piece.boxes)
        return True

    narrow = width < 3.5
    for _ in range(int(rng.integers(8, 15))):
        maker = _AT_WALLS[int(rng.integers(len(_AT_WALLS)))]
        piece = maker(rng, palette)
        if (narrow and piece.depth > 0.66) or plan.free_share < _MIN_FREE_SHARE:
            continue
        for _ in range(6):
            wall, along = int(rng.integers(4)), rng.uniform(0, 1)
            x, y, yaw = _against_wall(wall, along, piece, width, length)
            if place(piece, x, y, yaw, 0.05):
                break
    for _ in range(0 if narrow else int(rng.integers(1, 5))):
        piece = _IN_THE_MIDDLE[int(rng.integers(len(_IN_THE_MIDDLE)))](rng, palette)
        for _ in range(8):
            x, y = rng.uniform(1, width - 1), rng.uniform(1, length - 1)
            if place(piece, x, y, rng.uniform(-3.1, 3.1), _AISLE_M):
                break
    if min(width, length) > 5.5 and rng.random() < 0.6:
        side = rng.uniform(0.25, 0.5)
        pillar = Box((0, 0, height / 2), (side, side, height), palette.any_solid(rng))
        for _ in range(2):
            x, y = rng.uniform(1.2, width - 1.2), rng.uniform(1.2, length - 1.2)
            place(Piece((pillar,), side, side), x, y, 0.0, _AISLE_M)
    if rng.random() < 0.3:
        beam = palette.any_of(rng, palette.woods + palette.paints)
        for y in np.arange(0.8, length - 0.4, rng.uniform(1.2, 2.0)):
            boxes.append(Box((width / 2, float(y), height - 0.1), (width, 0.14, 0.2), beam))
    if rng.random() < 0.6:
        rug = palette.any_of(rng, palette.fabrics)
        rug_size = (width * rng.uniform(0.3, 0.5), length * rng.uniform(0.25, 0.45), 0.012)
        boxes.append(Box((width / 2, length / 2, 0.006), rug_size, rug, rng.uniform(-0.2, 0.2)))
    return boxes


def _against_wall(
    wall: int, along: float, piece: Piece, width: float, length: float
) -> tuple[float, float, float]:
    """x, y and yaw of a piece with its back to the wall -y, +x, +y or -x."""
    gap = piece.depth / 2 + 0.01
    reach = (width if wall % 2 == 0 else length) - piece.width
    position = piece.width / 2 + along * reach
    if wall == 0:
        return position, gap, 0.0
    if wall == 1:
        return width - gap, position, np.pi / 2
    if wall == 2:
        return position, length - gap, np.pi
    return gap, position, -np.pi / 2


def _wall_hangings(
    rng: np.random.Generator,
    size: tuple[float, float, float],
    palette: Palette,
    furniture_boxes: list[Box],
) -> list[Box]:
    """Pictures, posters and doors where no furniture hides them."""
    width, length, height = size
    hangings: list[Box] = []
    for _ in range(int(rng.integers(8, 16))):
        door = rng.random() < 0.15
        w, h = (0.9, 2.05) if door else (rng.uniform(0.35, 1.3), rng.uniform(0.35, 1.1))
        z = h / 2 if door else min(rng.uniform(1.3, 1.8), height - h / 2 - 0.1)
        plate = palette.any_of(rng, palette.woods if door else palette.pictures)
        piece = Piece((Box((0, 0, z), (w, 0.03, h), plate),), w + 0.1, 0.03)
        x, y, yaw = _against_wall(int(rng.integers(4)), rng.random(), piece, width, length)
        box = piece.boxes[0].placed(x, y, yaw)
        if not any(_close(box, other) for other in furniture_boxes + hangings):
            hangings.append(box)
    return hangings


def _close(a: Box, b: Box) -> bool:
    """Whether the upright bounding boxes of two boxes overlap."""
    (a0, a1), (b0, b1) = ((c.min(axis=0), c.max(axis=0)) for c in (a.footprint(), b.footprint()))
    apart_in_z = abs(a.centre[2] - b.centre[2]) > (a.size[2] + b.size[2]) / 2
    return not apart_in_z and bool((a0 < b1 + 0.02).all() and (b0 < a1 + 0.02).all())
