"""Camera paths through a scene: like a robot or a person looking around, never too near."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.errors import ConfigError
from depth_ros.synthetic.scene import Scene

# Least distance of the camera from everything.
CLEARANCE_M = 0.36
MIN_MOUNT_M, MAX_MOUNT_M = 0.1, 1.8
MAX_PITCH_DEG = 60.0

_CELL_M = 0.05
_STRIDE = 2  # cells between the nodes that routes are searched on
_HEIGHTS_M = (1.02, 1.6)
_STEP_M = 0.02  # between points of a route
_ATTEMPTS = 6
_TURN_RAD = np.radians(120)
_MARGIN_S = 3.0  # walked before the first and after the last pose
_LONG_ENOUGH_S = 8.0  # a path this long is asked to turn


@dataclass(frozen=True)
class CameraMount:
    """How a driving robot carries its camera.

    Attributes:
        height_m: of the camera above the floor.
        pitch_rad: of the optical axis, up positive.
    """

    height_m: float
    pitch_rad: float

    def __post_init__(self) -> None:
        """Refuse what no robot in a room can have.

        Raises:
            ConfigError: a number is out of range.
        """
        if not MIN_MOUNT_M <= self.height_m <= MAX_MOUNT_M:
            raise ConfigError(
                f'camera height {self.height_m:g} m must be {MIN_MOUNT_M:g} to {MAX_MOUNT_M:g}'
            )
        if not abs(self.pitch_rad) <= np.radians(MAX_PITCH_DEG):
            raise ConfigError(
                f'camera pitch {np.degrees(self.pitch_rad):g} degrees must be within'
                f' -{MAX_PITCH_DEG:g} to {MAX_PITCH_DEG:g}'
            )


def make_path(
    scene: Scene,
    frames: int,
    rate_hz: float = 15.0,
    seed: int = 0,
    speed: float = 0.6,
    mount: CameraMount | None = None,
) -> np.ndarray:
    """A smooth way through a scene with turns of more than 90 degrees in all.

    Args:
        scene: to walk through.
        frames: how many poses.
        rate_hz: poses a second.
        seed: the same seed gives the same path.
        speed: typical speed [m/s]; the real one varies around it.
        mount: of a robot's camera, which floor and wheels shake by millimetres; the robot drives
            around what a walk passes over. None: of a person's, at changing height and pitch.

    Returns:
        world_T_cam float64 [frames,4,4], optical frames.

    Raises:
        ConfigError: a number is not positive, or the scene has no room to move.
    """
    if frames < 1 or rate_hz <= 0 or speed <= 0:
        raise ConfigError(
            f'frames {frames}, rate {rate_hz} Hz and speed {speed} m/s must all be above 0'
        )
    rng = np.random.default_rng((seed, 7))
    floor = _Floor.of(scene, mount)
    best, best_turn = _walk(floor, frames, 1 / rate_hz, rng, speed, mount)
    for _ in range(_ATTEMPTS if frames / rate_hz > _LONG_ENOUGH_S else 0):
        if best_turn > _TURN_RAD:
            break
        poses, turn = _walk(floor, frames, 1 / rate_hz, rng, speed, mount)
        if turn > best_turn:
            best, best_turn = poses, turn
    return best


@dataclass(frozen=True, eq=False)
class _Floor:
    """Distance to the nearest obstacle over the floor plan, and where a camera may go."""

    distance_m: np.ndarray  # float32 [rows,columns]
    nodes: np.ndarray  # bool, the coarse grid that routes are searched on

    @classmethod
    def of(cls, scene: Scene, mount: CameraMount | None) -> _Floor:
        free = np.ones([int(n / _CELL_M) for n in (scene.size[1], scene.size[0])], np.uint8)
        low, high = _HEIGHTS_M[0] - CLEARANCE_M, _HEIGHTS_M[1] + CLEARANCE_M
        if mount is not None:
            low, high = 0.0, mount.height_m + CLEARANCE_M
        for box in scene.boxes:
            bottom, top = (box.centre[2] + s * box.size[2] / 2 for s in (-1, 1))
            if bottom < high and top > low:
                corners = np.rint(box.footprint() / _CELL_M - 0.5).astype(np.int32)
                cv2.fillConvexPoly(free, corners, (0,))
        free[[0, -1], :] = 0
        free[:, [0, -1]] = 0
        distance = cv2.distanceTransform(free, cv2.DIST_L2, 5) * _CELL_M
        for margin in (0.18, 0.12, 0.06):
            wide = (distance > CLEARANCE_M + margin).astype(np.uint8)[::_STRIDE, ::_STRIDE]
            _, labels, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=4)
            if len(stats) > 1:
                largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
                if stats[largest, cv2.CC_STAT_AREA] > 60:
                    return cls(distance, labels == largest)
        if len(stats) > 1:
            return cls(distance, labels == largest)
        raise ConfigError('the scene has no room for a camera to move')

    def clearance(self, points: np.ndarray) -> float:
        """Least distance to an obstacle along points [n,2] in metres."""
        cells = np.rint(points / _CELL_M - 0.5).astype(int)
        rows = np.clip(cells[:, 1], 0, self.distance_m.shape[0] - 1)
        columns = np.clip(cells[:, 0], 0, self.distance_m.shape[1] - 1)
        return float(self.distance_m[rows, columns].min())


def _walk(
    floor: _Floor,
    frames: int,
    period_s: float,
    rng: np.random.Generator,
    speed: float,
    mount: CameraMount | None,
) -> tuple[np.ndarray, float]:
    """Poses along a random route, and how far the view turns in all [rad]."""
    # A little more at both ends, so that smoothing does not hold the camera still there.
    margin = int(np.ceil(_MARGIN_S / period_s))
    times = (np.arange(frames + 2 * margin) - margin) * period_s
    pace = speed * (1 + 0.35 * _wander(times, rng, 6.0))
    at = np.cumsum(pace) * period_s / _STEP_M
    route = _route(floor, rng, at[-1] * _STEP_M + 1.0)
    index = np.arange(len(route))
    on_route = np.stack([np.interp(at, index, route[:, axis]) for axis in range(2)], axis=1)
    # Looking a little ahead along the route turns the view before the corner is reached.
    ahead = np.stack([np.interp(at + 25, index, route[:, axis]) for axis in range(2)], axis=1)
    heading = np.unwrap(np.arctan2(*(ahead - on_route).T[::-1]))
    heading = _smooth(heading, 1.1 / period_s)
    look = rng.uniform(0.1, 0.6) * _wander(times, rng, 7.0)
    yaw = heading + look + 0.004 * _wander(times, rng, 0.4)
    height, pitch, roll = _carried(times, rng, mount)
    positions = np.column_stack([_unhurried(floor, on_route, period_s), height])
    kept = slice(margin, margin + frames)
    return _poses(positions[kept], yaw[kept], pitch[kept], roll[kept]), float(np.ptp(yaw[kept]))


def _carried(
    times: np.ndarray, rng: np.random.Generator, mount: CameraMount | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Height [m], pitch and roll [rad] over time."""
    if mount is not None:
        height = mount.height_m + 0.003 * _wander(times, rng, 0.5)
        return height, mount.pitch_rad + 0.003 * _wander(times, rng, 0.35), np.zeros_like(times)
    pitch = rng.uniform(-0.36, -0.04) + 0.14 * _wander(times, rng, 5.0)
    pitch += 0.003 * _wander(times, rng, 0.35)
    roll = 0.03 * _wander(times, rng, 4.0)
    middle, swing = np.mean(_HEIGHTS_M), np.ptp(_HEIGHTS_M) / 2
    height = middle + swing * rng.uniform(0.4, 0.95) * _wander(times, rng, 8.0)
    height += 0.003 * _wander(times, rng, 0.5)
    return height, pitch, roll


def _unhurried(floor: _Floor, xy: np.ndarray, period_s: float) -> np.ndarray:
    """Positions [n,2] smoothed over time: sharp corners are taken slowly."""
    for sigma_s in (0.45, 0.35, 0.25, 0.15):
        smooth = np.stack([_smooth(xy[:, axis], sigma_s / period_s) for axis in range(2)], axis=1)
        if floor.clearance(smooth) > CLEARANCE_M + 0.03:
            return smooth
    return xy


def _wander(times: np.ndarray, rng: np.random.Generator, period_s: float) -> np.ndarray:
    """Smooth random motion in -1..1 with about this period."""
    total = np.zeros_like(times)
    for weight, factor in ((0.6, 1.0), (0.4, 1.7)):
        phase, jitter = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.15)
        total += weight * np.sin(2 * np.pi * times * factor * jitter / period_s + phase)
    return total


def _smooth(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing along the first axis, the ends held; sigma in samples."""
    reach = max(int(3 * sigma), 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, reach, mode='edge')
    return np.convolve(padded, kernel, mode='valid')


def _route(floor: _Floor, rng: np.random.Generator, length_m: float) -> np.ndarray:
    """Points every _STEP_M along a smooth route through random places, [n,2] metres."""
    places = np.argwhere(floor.nodes)
    here = _cell(places[rng.integers(len(places))])
    cells = [here]
    total, barren = 0.0, 0
    heading = rng.uniform(-np.pi, np.pi)
    while total < 1.6 * length_m and barren < 50:
        candidates = places[rng.integers(len(places), size=8)]
        offsets = candidates - np.array(here)
        distance = np.hypot(*offsets.T) * _CELL_M * _STRIDE
        turn = np.arctan2(offsets[:, 0], offsets[:, 1]) - heading
        turn = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
        score = np.maximum(turn, 1.0) + np.where(distance < 1.2, 3.0, 0.0)
        goal = _cell(candidates[int(np.argmin(score))])
        leg = _shortest(floor, here, goal)
        if len(leg) < 2:
            barren += 1
            continue
        cells += leg[1:]
        steps = np.diff(np.array(leg), axis=0)
        total += float(np.hypot(*steps.T).sum()) * _CELL_M * _STRIDE
        heading = float(np.arctan2(*steps[-3:].mean(axis=0)))
        here = goal
    points = (np.array(cells)[:, ::-1] * _STRIDE + 0.5) * _CELL_M
    return _rounded(floor, _resampled(points, _STEP_M))


def _cell(place: np.ndarray) -> tuple[int, int]:
    return int(place[0]), int(place[1])


def _resampled(points: np.ndarray, step: float) -> np.ndarray:
    """A polyline [n,2] with points every `step`."""
    lengths = np.hypot(*np.diff(points, axis=0).T) if len(points) > 1 else np.zeros(0)
    along = np.concatenate([[0], np.cumsum(lengths)])
    at = np.arange(0, max(along[-1], step), step)
    return np.stack([np.interp(at, along, points[:, axis]) for axis in range(2)], axis=1)


def _rounded(floor: _Floor, route: np.ndarray) -> np.ndarray:
    """The route with its corners rounded as far as the clearance allows."""
    for sigma_m in (0.5, 0.4, 0.3, 0.2, 0.14, 0.08):
        smooth = np.stack([_smooth(route[:, axis], sigma_m / _STEP_M) for axis in range(2)], 1)
        if floor.clearance(smooth) > CLEARANCE_M + 0.03:
            return _resampled(smooth, _STEP_M)
    return route


def _shortest(
    floor: _Floor, start: tuple[int, int], goal: tuple[int, int]
) -> list[tuple[int, int]]:
    """Cells from start to goal that prefer the middle of free space (Dijkstra)."""
    near = floor.distance_m[::_STRIDE, ::_STRIDE]
    dearness = 1 + 0.6 / np.maximum(near - CLEARANCE_M, 0.05)
    rows, columns = floor.nodes.shape
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    moves = [(dy, dx, float(np.hypot(dy, dx))) for dy, dx in offsets]
    cost = {start: 0.0}
    parent: dict[tuple[int, int], tuple[int, int]] = {}
    queue = [(0.0, start)]
    while queue:
        so_far, cell = heapq.heappop(queue)
        if cell == goal:
            break
        if so_far > cost[cell]:
            continue
        for dy, dx, length in moves:
            y, x = cell[0] + dy, cell[1] + dx
            if 0 <= y < rows and 0 <= x < columns and floor.nodes[y, x]:
                total = so_far + length * float(dearness[y, x])
                if total < cost.get((y, x), np.inf):
                    cost[y, x] = total
                    parent[y, x] = cell
                    heapq.heappush(queue, (total, (y, x)))
    path = [goal]
    while path[-1] in parent and path[-1] != start:
        path.append(parent[path[-1]])
    return path[::-1]


def _poses(
    positions: np.ndarray, yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray
) -> np.ndarray:
    """world_T_cam of a camera that looks along yaw and pitch (up positive), [n,4,4]."""
    forward = np.stack(
        [np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)], axis=1
    )
    right = np.stack([np.sin(yaw), -np.cos(yaw), np.zeros_like(yaw)], axis=1)
    down = np.cross(forward, right)
    cos, sin = np.cos(roll)[:, None], np.sin(roll)[:, None]
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, 0] = cos * right + sin * down
    poses[:, :3, 1] = cos * down - sin * right
    poses[:, :3, 2] = forward
    poses[:, :3, 3] = positions
    return poses
