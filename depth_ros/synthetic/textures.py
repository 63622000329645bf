"""Procedural surface textures: periodic, with detail at every scale, and their mip pyramids."""

from __future__ import annotations

import colorsys
import enum
from collections.abc import Callable

import cv2
import numpy as np

# Side of a texture tile [texels], a power of two.
SIZE = 512

Colour = tuple[float, float, float]


class TextureKind(enum.Enum):
    """What a surface is made of."""

    PLASTER = 'plaster'
    MARBLE = 'marble'
    BRICKS = 'bricks'
    TILES = 'tiles'
    PLANKS = 'planks'
    CHECKER = 'checker'
    STRIPES = 'stripes'
    FABRIC = 'fabric'
    TERRAZZO = 'terrazzo'
    CONCRETE = 'concrete'


def random_colour(
    rng: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]
) -> Colour:
    """A colour, RGB in 0..1; warm hues are as frequent indoors as all others together."""
    hue = rng.normal(0.08, 0.05) % 1.0 if rng.random() < 0.5 else rng.random()
    return colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))


def fractal_noise(
    rng: np.random.Generator, first: int, octaves: int, *, stretch: int = 1, decay: float = 0.6
) -> np.ndarray:
    """Periodic noise in about -1..1, float32 [SIZE,SIZE].

    Args:
        rng: source of randomness.
        first: cells across in the coarsest octave, a power of two.
        octaves: how many times the cells are halved.
        stretch: how much longer the cells are in x than in y, a power of two.
        decay: amplitude of an octave over that of the one before.
    """
    total = np.zeros((SIZE, SIZE), np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        rows = min(first << octave, SIZE)
        columns = max(rows // stretch, 1)
        cells = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
        total += amplitude * _upsampled(cells)
        amplitude *= decay
    return total / np.abs(total).max()


def make_texture(kind: TextureKind, rng: np.random.Generator, colour: Colour) -> np.ndarray:
    """One tile of a kind around a colour, uint8 RGB [SIZE,SIZE,3]; it repeats without a seam."""
    albedo = _MAKERS[kind](rng, np.array(colour, np.float32))
    return np.clip(albedo * 255, 4, 250).astype(np.uint8)


def make_picture(rng: np.random.Generator) -> np.ndarray:
    """Something to hang on a wall: shapes on a gradient in a frame, uint8 RGB [SIZE,SIZE,3]."""
    top, bottom = (np.array(random_colour(rng, (0.2, 0.9), (0.3, 0.95))) for _ in range(2))
    ramp = np.linspace(0, 1, SIZE)[:, None, None]
    image = np.ascontiguousarray(
        np.broadcast_to((top * (1 - ramp) + bottom * ramp) * 255, (SIZE, SIZE, 3)), np.float32
    )
    for _ in range(int(rng.integers(6, 26))):
        ink = tuple(255 * c for c in random_colour(rng, (0.2, 1.0), (0.1, 1.0)))
        x, y, r, s = (int(v) for v in rng.integers((0, 0, 12, 12), (SIZE, SIZE, 140, 140)))
        shape = rng.integers(3)
        if shape == 0:
            cv2.circle(image, (x, y), r, ink, -1, cv2.LINE_AA)
        elif shape == 1:
            cv2.rectangle(image, (x, y), (x + r, y + s), ink, -1)
        else:
            angle = float(rng.uniform(0, 180))
            cv2.ellipse(image, (x, y), (r, s // 2), angle, 0, 360, ink, -1, cv2.LINE_AA)
    image *= 1 + 0.12 * fractal_noise(rng, 16, 4)[..., None]
    frame = tuple(255 * c for c in random_colour(rng, (0.1, 0.6), (0.05, 0.5)))
    cv2.rectangle(image, (0, 0), (SIZE - 1, SIZE - 1), frame, int(rng.integers(20, 60)))
    return np.clip(image, 4, 250).astype(np.uint8)


def make_page(rng: np.random.Generator) -> np.ndarray:
    """A poster of headings, lines of letters and a picture, uint8 RGB [SIZE,SIZE,3]."""
    paper = np.array(random_colour(rng, (0.0, 0.25), (0.75, 0.97))) * 255
    image = np.full((SIZE, SIZE, 3), paper, np.float32)
    ink = tuple(255 * c for c in random_colour(rng, (0.2, 1.0), (0.05, 0.5)))
    y = 30
    while y < SIZE - 40:
        height = int(rng.choice((8, 8, 12, 26)))
        x = 30
        while x < SIZE - 40:
            width = int(rng.integers(8, 60))
            cv2.rectangle(image, (x, y), (min(x + width, SIZE - 30), y + height), ink, -1)
            x += width + int(rng.integers(6, 16))
        y += height + int(rng.integers(8, 22))
    picture = cv2.resize(make_picture(rng), (220, 200), interpolation=cv2.INTER_AREA)
    x, y = (int(v) for v in rng.integers(20, 260, 2))
    image[y : y + 200, x : x + 220] = picture
    return np.clip(image, 4, 250).astype(np.uint8)


def pyramid(texture: np.ndarray) -> tuple[np.ndarray, ...]:
    """The texture and its halvings down to two texels, for filtering by distance."""
    levels = [texture]
    exact: np.ndarray = texture.astype(np.float32)
    while exact.shape[0] > 2:
        exact = cv2.resize(exact, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        levels.append(np.rint(exact).astype(np.uint8))
    return tuple(levels)


def _upsampled(cells: np.ndarray) -> np.ndarray:
    """Cubic interpolation of a periodic grid to [SIZE,SIZE]."""
    rows, columns = cells.shape
    step_y, step_x = SIZE // rows, SIZE // columns
    padded = np.pad(cells, 2, mode='wrap')
    size = (step_x * (columns + 4), step_y * (rows + 4))
    large = cv2.resize(padded, size, interpolation=cv2.INTER_CUBIC)
    return large[2 * step_y : 2 * step_y + SIZE, 2 * step_x : 2 * step_x + SIZE]


def _shaded(colour: np.ndarray, shade: np.ndarray) -> np.ndarray:
    return colour * shade[..., None]


def _mixed(a: np.ndarray, b: np.ndarray, share_of_b: np.ndarray) -> np.ndarray:
    return a + (b - a) * share_of_b[..., None]


def _other(rng: np.random.Generator, colour: np.ndarray, strength: float) -> np.ndarray:
    """A relative of a colour."""
    return np.clip(colour * rng.uniform(1 - strength, 1 + strength, 3), 0.02, 1).astype(np.float32)


def _grain(rng: np.random.Generator) -> np.ndarray:
    """Fine irregularity that every material has, around 1."""
    return 1 + 0.10 * fractal_noise(rng, 4, 7, decay=0.85)


def _plaster(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    stains = 0.5 + 0.5 * fractal_noise(rng, 2, 3)
    rough = fractal_noise(rng, 32, 4, decay=0.9)
    base = _mixed(colour, _other(rng, colour, 0.18), stains)
    return _shaded(base, 1 + rng.uniform(0.06, 0.16) * rough)


def _marble(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    turbulence = fractal_noise(rng, 2, 7, decay=0.65)
    veins = 1 - np.abs(np.sin(turbulence * rng.uniform(5, 12))) ** 0.4
    base = _mixed(colour, _other(rng, colour, 0.5), 0.5 + 0.5 * fractal_noise(rng, 2, 6))
    return _mixed(base, colour * rng.uniform(0.2, 0.5), 0.8 * veins)


def _concrete(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    grey = colour.mean() * 0.7 + 0.3 * colour
    shade = 1 + 0.22 * fractal_noise(rng, 2, 8, decay=0.75)
    pores = fractal_noise(rng, 64, 3) > 0.62
    return _shaded(grey, shade * np.where(pores, 0.7, 1.0))


def _cells(
    rng: np.random.Generator, rows: int, columns: int, joint: int, shift: int
) -> tuple[np.ndarray, np.ndarray]:
    """A wall of `rows` x `columns` cells: random value of each cell, and where the joints are."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    height, width = SIZE // rows, SIZE // columns
    row = y // height
    x = (x + (row % 2) * shift) % SIZE
    values = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    value = values[row % rows, x // width % columns]
    joints = ((y % height < joint) | (x % width < joint)).astype(np.float32)
    soft = cv2.blur(np.pad(joints, 1, mode='wrap'), (3, 3))[1:-1, 1:-1]
    return value, soft


def _bricks(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    rows = int(rng.choice((8, 16)))
    value, joints = _cells(rng, rows, rows // 2, int(rng.integers(5, 9)), SIZE // rows)
    mortar = np.full(3, rng.uniform(0.3, 0.8), np.float32)
    bricks = _shaded(_mixed(colour, _other(rng, colour, 0.4), 0.5 + 0.5 * value), 1 + 0.2 * value)
    return _shaded(_mixed(bricks, mortar, joints), _grain(rng) + 0.1 * fractal_noise(rng, 32, 4))


def _tiles(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    rows = int(rng.choice((4, 8)))
    value, joints = _cells(rng, rows, rows, int(rng.integers(4, 8)), 0)
    grout = np.full(3, rng.uniform(0.15, 0.8), np.float32)
    tiles = _mixed(colour, _other(rng, colour, 0.25), 0.5 + 0.5 * value)
    return _shaded(_mixed(tiles, grout, joints), _grain(rng) * (1 + 0.08 * value))


def _planks(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    rows = int(rng.choice((4, 8)))
    value, joints = _cells(rng, rows, 2, 3, int(rng.integers(60, 200)))
    grain = fractal_noise(rng, 16, 6, stretch=16, decay=0.8)
    rings = np.sin(10 * fractal_noise(rng, 4, 3, stretch=4) + 5 * value)
    wood = _shaded(colour, 1 + 0.22 * value + 0.2 * grain + 0.06 * rings)
    return _mixed(wood, colour * 0.25, joints)


def _checker(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    cells = int(rng.choice((4, 8)))
    y, x = np.mgrid[0:SIZE, 0:SIZE] * cells // SIZE
    odd = ((x + y) % 2).astype(np.float32)
    other = np.array(random_colour(rng, (0.0, 0.5), (0.1, 0.9)), np.float32)
    return _shaded(_mixed(colour, other, odd), _grain(rng))


def _stripes(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    edges = np.sort(rng.integers(0, SIZE, int(rng.choice((6, 10, 16)))))
    shades = rng.uniform(0, 1, edges.size).astype(np.float32)
    share = shades[np.searchsorted(edges, np.arange(SIZE)) % edges.size]
    other = np.array(random_colour(rng, (0.05, 0.45), (0.4, 0.95)), np.float32)
    stripes = np.broadcast_to(share, (SIZE, SIZE))
    return _shaded(_mixed(colour, other, stripes), _grain(rng))


def _fabric(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) * (2 * np.pi / SIZE)
    weave = np.sin(64 * x) * np.sin(64 * y)
    bands = np.sin(4 * x + rng.uniform(0, 6)) + np.sin(8 * y + rng.uniform(0, 6))
    base = _mixed(colour, _other(rng, colour, 0.3), 0.5 + 0.25 * bands)
    return _shaded(base, 1 + 0.12 * weave + 0.18 * fractal_noise(rng, 4, 7, decay=0.8))


def _terrazzo(rng: np.random.Generator, colour: np.ndarray) -> np.ndarray:
    image = np.broadcast_to(colour, (SIZE, SIZE, 3)).astype(np.float32)
    for cells in (16, 32, 64):
        chips = fractal_noise(rng, cells, 2) > 0.45
        image = _mixed(image, _other(rng, colour, 0.7), chips.astype(np.float32))
    return _shaded(image, _grain(rng))


_MAKERS: dict[TextureKind, Callable[[np.random.Generator, np.ndarray], np.ndarray]] = {
    TextureKind.PLASTER: _plaster,
    TextureKind.MARBLE: _marble,
    TextureKind.BRICKS: _bricks,
    TextureKind.TILES: _tiles,
    TextureKind.PLANKS: _planks,
    TextureKind.CHECKER: _checker,
    TextureKind.STRIPES: _stripes,
    TextureKind.FABRIC: _fabric,
    TextureKind.TERRAZZO: _terrazzo,
    TextureKind.CONCRETE: _concrete,
}
