"""Pieces of furniture made of boxes.

Each piece stands on the floor around the origin of its own frame, its back towards -y; a room
places it. Sizes in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.synthetic.scene import Box, Material
from depth_ros.synthetic.textures import random_colour


@dataclass(frozen=True)
class Palette:
    """The materials that the furniture of one room is made of."""

    woods: tuple[Material, ...]
    paints: tuple[Material, ...]
    fabrics: tuple[Material, ...]
    stones: tuple[Material, ...]
    pictures: tuple[Material, ...]

    def any_of(self, rng: np.random.Generator, materials: tuple[Material, ...]) -> Material:
        """One of the materials."""
        return materials[int(rng.integers(len(materials)))]

    def any_solid(self, rng: np.random.Generator) -> Material:
        """A wood, paint or stone."""
        return self.any_of(rng, self.woods + self.paints + self.stones)

    def any_small(self, rng: np.random.Generator) -> Material:
        """Whatever small things are made of, in a colour of their own."""
        kind = self.any_of(rng, self.paints + self.fabrics + self.stones)
        return kind.tinted(random_colour(rng, (0.1, 0.85), (0.45, 1.3)))


@dataclass(frozen=True)
class Piece:
    """Boxes in a frame of their own, and the floor they take (along x and y)."""

    boxes: tuple[Box, ...]
    width: float
    depth: float


def clutter(
    rng: np.random.Generator,
    palette: Palette,
    width: float,
    depth: float,
    height: float,
    count: int,
) -> list[Box]:
    """Small things standing on a board of `width` x `depth` whose top is at `height`."""
    things = []
    slots = rng.permutation(max(count, int(width / 0.16)))[:count]
    for slot in slots:
        w, d = rng.uniform(0.06, 0.2), rng.uniform(0.05, min(0.2, depth * 0.8))
        h = float(rng.choice((0.03, 0.1, 0.18, 0.28))) * rng.uniform(0.7, 1.3)
        x = ((slot + 0.5) / max(count, int(width / 0.16)) - 0.5) * max(width - 0.2, 0.0)
        y = rng.uniform(-0.5, 0.5) * max(depth - d, 0.0)
        things.append(
            Box(
                (x, y, height + h / 2), (w, d, h), palette.any_small(rng), rng.uniform(-0.6, 0.6)
            )
        )
    return things


def table(rng: np.random.Generator, palette: Palette) -> Piece:
    """A low table, or a dining table with chairs, and things on it."""
    w, d = rng.uniform(0.8, 1.8), rng.uniform(0.6, 1.0)
    low = rng.random() < 0.3
    h = 0.45 if low else 0.75
    top, leg = palette.any_solid(rng), palette.any_of(rng, palette.woods + palette.paints)
    boxes = [Box((0, 0, h - 0.02), (w, d, 0.04), top), *_legs(w - 0.1, d - 0.1, h - 0.04, leg)]
    boxes += clutter(rng, palette, w, d, h, int(rng.integers(2, 8)))
    if low:
        return Piece(tuple(boxes), w, d)
    seat = chair(rng, palette)
    for x in (-w / 4, w / 4):
        for side in (-1, 1):
            if rng.random() < 0.6:
                yaw = (0.0 if side < 0 else np.pi) + rng.uniform(-0.3, 0.3)
                y = side * (d / 2 + rng.uniform(-0.05, 0.2))
                boxes += [part.placed(x, y, yaw) for part in seat.boxes]
    return Piece(tuple(boxes), w, d + 0.9)


def chair(rng: np.random.Generator, palette: Palette) -> Piece:
    """A chair with a back."""
    w, seat = rng.uniform(0.4, 0.5), 0.46
    frame = palette.any_of(rng, palette.woods + palette.paints)
    cover = palette.any_of(rng, palette.fabrics + palette.woods)
    boxes = [
        Box((0, 0, seat), (w, w, 0.05), cover),
        Box((0, -w / 2 + 0.02, seat + 0.25), (w, 0.04, 0.45), cover),
        *_legs(w - 0.04, w - 0.04, seat - 0.025, frame),
    ]
    return Piece(tuple(boxes), w, w)


def shelf(rng: np.random.Generator, palette: Palette) -> Piece:
    """A book shelf, filled."""
    w, d, h = rng.uniform(0.6, 1.2), rng.uniform(0.26, 0.36), rng.uniform(1.0, 2.1)
    wood = palette.any_of(rng, palette.woods + palette.paints)
    boards = max(int(h / 0.38), 2)
    boxes = [
        Box((side * (w / 2 - 0.015), 0, h / 2), (0.03, d, h), wood) for side in (-1, 1)
    ]
    boxes.append(Box((0, -d / 2 + 0.01, h / 2), (w - 0.06, 0.02, h), wood))
    for level in range(boards + 1):
        z = 0.05 + level * (h - 0.07) / boards
        boxes.append(Box((0, 0.01, z), (w - 0.06, d - 0.02, 0.025), wood))
        if level < boards:
            boxes += _books(rng, palette, w - 0.1, d, z + 0.0125, (h - 0.07) / boards - 0.03)
    return Piece(tuple(boxes), w, d)


def cabinet(rng: np.random.Generator, palette: Palette) -> Piece:
    """A chest of drawers or a wardrobe, its fronts a little proud of the body."""
    tall = rng.random() < 0.4
    w, d = rng.uniform(0.6, 1.4), rng.uniform(0.4, 0.6)
    h = rng.uniform(1.7, 2.2) if tall else rng.uniform(0.7, 1.1)
    body, front = palette.any_solid(rng), palette.any_solid(rng)
    boxes = [Box((0, 0, h / 2), (w, d, h), body)]
    columns, rows = (2, 1) if tall else (int(rng.integers(1, 3)), int(rng.integers(2, 5)))
    boxes += _fronts(w, d / 2, 0.06, h - 0.03, columns, rows, front)
    if not tall:
        boxes += clutter(rng, palette, w, d, h, int(rng.integers(1, 6)))
    return Piece(tuple(boxes), w, d + 0.04)


def kitchen_run(rng: np.random.Generator, palette: Palette) -> Piece:
    """Base units under a worktop, wall units above, and a tall unit at one end."""
    units = int(rng.integers(3, 6))
    w, d = 0.6 * units, 0.6
    body, front = palette.any_solid(rng), palette.any_of(rng, palette.woods + palette.paints)
    top = palette.any_of(rng, palette.stones + palette.woods)
    boxes = [
        Box((0, 0, 0.43), (w, d - 0.04, 0.86), body),
        Box((0, 0.01, 0.88), (w, d, 0.04), top),
        *_fronts(w, d / 2 - 0.02, 0.1, 0.84, units, int(rng.integers(1, 3)), front),
        *clutter(rng, palette, w - 0.2, 0.4, 0.9, int(rng.integers(4, 10))),
    ]
    if rng.random() < 0.75:
        wall = w * rng.uniform(0.5, 1.0)
        x = rng.uniform(-0.5, 0.5) * (w - wall)
        boxes.append(Box((x, -0.13, 1.75), (wall, 0.34, 0.6), body))
        doors = _fronts(wall, 0.04, 1.46, 2.04, max(int(wall / 0.5), 1), 1, front)
        boxes += [part.placed(x, 0, 0) for part in doors]
    if rng.random() < 0.6:
        x = (w / 2 + 0.31) * float(rng.choice((-1, 1)))
        tall = palette.any_solid(rng)
        boxes.append(Box((x, 0, 0.95), (0.6, 0.62, 1.9), tall))
        boxes += [part.placed(x, 0, 0) for part in _fronts(0.6, 0.31, 0.05, 1.88, 1, 2, tall)]
        return Piece(tuple(boxes), w + 1.24, d + 0.06)
    return Piece(tuple(boxes), w, d + 0.04)


def sofa(rng: np.random.Generator, palette: Palette) -> Piece:
    """A sofa or armchair with cushions."""
    w, d = rng.uniform(0.8, 2.1), rng.uniform(0.75, 0.95)
    cover = palette.any_of(rng, palette.fabrics)
    boxes = [
        Box((0, 0, 0.21), (w, d, 0.42), cover),
        Box((0, -d / 2 + 0.1, 0.6), (w, 0.2, 0.4), cover),
        *(Box((s * (w / 2 - 0.08), 0.02, 0.5), (0.16, d - 0.04, 0.2), cover) for s in (-1, 1)),
    ]
    for x in np.arange(-w / 2 + 0.4, w / 2 - 0.3, 0.5):
        cushion = palette.any_of(rng, palette.fabrics).tinted(
            random_colour(rng, (0.2, 0.8), (0.6, 1.2))
        )
        centre = (float(x), -d / 2 + 0.27, 0.59)
        boxes.append(Box(centre, (0.38, 0.12, 0.34), cushion, rng.uniform(-0.3, 0.3)))
    return Piece(tuple(boxes), w, d)


def bed(rng: np.random.Generator, palette: Palette) -> Piece:
    """A bed with its head at the back."""
    w, d = float(rng.choice((0.9, 1.4, 1.6))), 2.0
    wood, cover = palette.any_of(rng, palette.woods), palette.any_of(rng, palette.fabrics)
    pillow = palette.any_of(rng, palette.fabrics).tinted((1.2, 1.2, 1.2))
    boxes = [
        Box((0, 0, 0.15), (w, d, 0.3), wood),
        Box((0, 0.03, 0.39), (w - 0.06, d - 0.1, 0.18), cover),
        Box((0, -d / 2 + 0.03, 0.5), (w, 0.06, 1.0), wood),
        Box((0, -d / 2 + 0.32, 0.53), (w * 0.7, 0.4, 0.1), pillow, rng.uniform(-0.1, 0.1)),
    ]
    return Piece(tuple(boxes), w, d)


def crates(rng: np.random.Generator, palette: Palette) -> Piece:
    """A stack of boxes, each turned a little."""
    w = rng.uniform(0.35, 0.7)
    boxes, z = [], 0.0
    for _ in range(int(rng.integers(1, 5))):
        h, side = rng.uniform(0.2, 0.5), w * rng.uniform(0.7, 1.0)
        turn = rng.uniform(-0.25, 0.25)
        boxes.append(Box((0, 0, z + h / 2), (side, side, h), palette.any_small(rng), turn))
        z += h
    return Piece(tuple(boxes), w * 1.2, w * 1.2)


def desk(rng: np.random.Generator, palette: Palette) -> Piece:
    """A desk with a screen that shows something."""
    w, d, h = rng.uniform(1.1, 1.7), rng.uniform(0.6, 0.8), 0.73
    top, side = palette.any_solid(rng), palette.any_solid(rng)
    dark = palette.paints[0].tinted((0.12, 0.12, 0.13))
    screen = palette.any_of(rng, palette.pictures)
    boxes = [
        Box((0, 0, h - 0.015), (w, d, 0.03), top),
        *(Box((s * (w / 2 - 0.03), 0, h / 2 - 0.015), (0.04, d, h - 0.03), side) for s in (-1, 1)),
        Box((0, -0.12, h + 0.06), (0.2, 0.12, 0.12), dark),
        Box((0, -0.15, h + 0.3), (0.62, 0.04, 0.38), dark),
        Box((0, -0.128, h + 0.3), (0.58, 0.005, 0.34), screen),
        *clutter(rng, palette, w, d * 0.5, h, int(rng.integers(1, 5))),
    ]
    return Piece(tuple(boxes), w, d)


def _legs(width: float, depth: float, height: float, material: Material) -> list[Box]:
    return [
        Box((sx * width / 2, sy * depth / 2, height / 2), (0.05, 0.05, height), material)
        for sx in (-1, 1)
        for sy in (-1, 1)
    ]


def _fronts(
    width: float,
    y: float,
    low: float,
    high: float,
    columns: int,
    rows: int,
    material: Material,
) -> list[Box]:
    """Doors or drawers with gaps between them, in front of the plane at `y`."""
    w, h = width / columns, (high - low) / rows
    return [
        Box(
            ((column + 0.5) * w - width / 2, y + 0.01, low + (row + 0.5) * h),
            (w - 0.015, 0.02, h - 0.015),
            material,
        )
        for column in range(columns)
        for row in range(rows)
    ]


def _books(
    rng: np.random.Generator,
    palette: Palette,
    width: float,
    depth: float,
    bottom: float,
    room_above: float,
) -> list[Box]:
    """A row of volumes with a gap somewhere; several thin ones are one box."""
    books = []
    x = -width / 2
    while x < width / 2 - 0.12:
        w = rng.uniform(0.06, 0.22)
        if rng.random() < 0.75:
            h = room_above * rng.uniform(0.55, 0.95)
            d = depth * rng.uniform(0.5, 0.8)
            centre = (x + w / 2, -depth / 2 + 0.02 + d / 2, bottom + h / 2)
            books.append(Box(centre, (min(w, width / 2 - x), d, h), palette.any_small(rng)))
        x += w + 0.004
    return books
