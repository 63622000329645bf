"""Which frames are trained on, and against which neighbours.

Hand-held cameras barely move between frames and often stand: neighbours are chosen by motion,
not by index, and a frame without any that moved enough is no target.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from training.config import MotionMeasure, PairsConfig
from training.data.cache import FrameCache
from training.data.flow import GAPS, measure_motion


@dataclass(frozen=True)
class Target:
    """One frame to train on, and its possible neighbours, as frame indices.

    Attributes:
        frame: the frame itself.
        earlier, later: frames with as much motion as wanted; never empty.
        near_earlier, near_later: frames with less; may be empty.
    """

    frame: int
    earlier: tuple[int, ...]
    later: tuple[int, ...]
    near_earlier: tuple[int, ...] = ()
    near_later: tuple[int, ...] = ()

    @property
    def neighbours(self) -> tuple[int, ...]:
        """All that may be drawn."""
        return self.earlier + self.later + self.near_earlier + self.near_later

    def draw(self, rng: np.random.Generator, small_motion_share: float) -> tuple[int, int]:
        """An (earlier, later) pair of neighbours, now and then one of small motion."""
        if self.near_earlier and self.near_later and rng.random() < small_motion_share:
            return int(rng.choice(self.near_earlier)), int(rng.choice(self.near_later))
        return int(rng.choice(self.earlier)), int(rng.choice(self.later))


@dataclass(frozen=True)
class PairMotion:
    """What is known of each pair (i, i + GAPS[k]), bool [n, len(GAPS)].

    Attributes:
        wanted: motion within the limits.
        small: motion below them.
        largest: largest motion met, in the unit of the limits, for messages.
    """

    wanted: np.ndarray
    small: np.ndarray
    largest: float


def split_validation(count: int, share: float, blocks: int) -> np.ndarray:
    """Frames kept for validation, bool [count]: the tail of each of `blocks` equal parts."""
    kept = np.zeros(count, bool)
    borders = np.linspace(0, count, blocks + 1).round().astype(int)
    for start, stop in itertools.pairwise(borders):
        kept[stop - round((stop - start) * share) : stop] = True
    return kept


def judge_pairs(cache: FrameCache, config: PairsConfig) -> PairMotion:
    """Sort all pairs of frames by their motion and the time between them."""
    by_pose = config.measure is MotionMeasure.POSE
    amount, turn_ok = _by_pose(cache, config) if by_pose else _by_flow(cache, config)
    least = config.min_translation_m if by_pose else config.min_parallax
    most = config.max_translation_m if by_pose else config.max_parallax
    usable = turn_ok & _time_ok(cache.stamps_ns, config) & np.isfinite(amount)
    with np.errstate(invalid='ignore'):
        wanted = usable & (amount >= least) & (amount <= most)
        small = usable & (amount < least)
    largest = float(amount[usable].max()) if usable.any() else 0.0
    return PairMotion(wanted, small, largest)


def find_targets(
    motion: PairMotion, allowed: np.ndarray, sources: np.ndarray, gap_ratio: float
) -> list[Target]:
    """Frames that have a wanted neighbour on both sides.

    Args:
        motion: of all pairs.
        allowed: bool [n], frames that may be targets.
        sources: bool [n], frames that may be neighbours.
        gap_ratio: on each side, longest gap over the shortest.
    """
    targets = []
    for frame in np.flatnonzero(allowed):
        found: list[tuple[int, ...]] = []
        for table in (motion.wanted, motion.small):
            after = [frame + g for g in itertools.compress(GAPS, table[frame])]
            before = [
                frame - g for k, g in enumerate(GAPS) if frame >= g and table[frame - g, k]
            ]
            found += [tuple(int(i) for i in side if sources[i]) for side in (before, after)]
        earlier, later, near_earlier, near_later = found
        earlier = _within(earlier, int(frame), gap_ratio)
        later = _within(later, int(frame), gap_ratio)
        if earlier and later:
            targets.append(Target(int(frame), earlier, later, near_earlier, near_later))
    return targets


def _within(neighbours: tuple[int, ...], frame: int, gap_ratio: float) -> tuple[int, ...]:
    shortest = min((abs(i - frame) for i in neighbours), default=0)
    return tuple(i for i in neighbours if abs(i - frame) <= gap_ratio * shortest)


def single_targets(allowed: np.ndarray) -> list[Target]:
    """Every allowed frame with itself for neighbours, where no loss looks at neighbours."""
    return [Target(int(i), (int(i),), (int(i),)) for i in np.flatnonzero(allowed)]


def _time_ok(stamps_ns: np.ndarray, config: PairsConfig) -> np.ndarray:
    """Whether no step from i to i + gap is a jump, and the whole is short enough."""
    ok = np.zeros((len(stamps_ns), len(GAPS)), bool)
    if len(stamps_ns) < 2:
        return ok
    steps_s = np.diff(stamps_ns) * 1e-9
    jump = steps_s > max(5 * float(np.median(steps_s)), 0.05)
    jumps_before = np.concatenate([[0], np.cumsum(jump)])
    for k, gap in enumerate(GAPS):
        if gap >= len(stamps_ns) or gap > config.max_gap_frames:
            continue
        elapsed_s = (stamps_ns[gap:] - stamps_ns[:-gap]) * 1e-9
        no_jump = jumps_before[gap:] == jumps_before[:-gap]
        ok[: len(stamps_ns) - gap, k] = no_jump & (elapsed_s <= config.max_gap_s)
    return ok


def _by_flow(cache: FrameCache, config: PairsConfig) -> tuple[np.ndarray, np.ndarray]:
    motion = measure_motion(cache, config.max_gap_frames, config.max_flow)
    with np.errstate(invalid='ignore'):
        turn_ok = (motion.rotation_rad <= config.max_rotation_rad) & (
            motion.flow <= config.max_flow
        )
    return motion.parallax, turn_ok


def _by_pose(cache: FrameCache, config: PairsConfig) -> tuple[np.ndarray, np.ndarray]:
    count = len(cache)
    amount = np.full((count, len(GAPS)), np.nan)
    turn_ok = np.zeros((count, len(GAPS)), bool)
    if cache.world_T_cam is None:
        return amount, turn_ok
    poses = cache.world_T_cam
    for k, gap in enumerate(GAPS):
        if gap >= count:
            continue
        first, second = poses[:-gap], poses[gap:]
        amount[: count - gap, k] = np.linalg.norm(second[:, :3, 3] - first[:, :3, 3], axis=1)
        cosine = (np.einsum('nij,nij->n', first[:, :3, :3], second[:, :3, :3]) - 1) / 2
        with np.errstate(invalid='ignore'):
            angle = np.arccos(np.clip(cosine, -1, 1))
            turn_ok[: count - gap, k] = angle <= config.max_rotation_rad
    return amount, turn_ok
