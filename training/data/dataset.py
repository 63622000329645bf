"""Samples by position: what a step sees depends on seed and step alone, never on history.

This makes a resumed run see exactly what the uninterrupted one would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from training.config import BagTruth
from training.data.batch import Batch
from training.data.cache import FrameCache
from training.data.pairs import Target
from training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class BagTargets:
    """The targets of one bag, and how often it is drawn against other bags."""

    cache: FrameCache
    targets: Sequence[Target]
    weight: float = 1.0
    truth: BagTruth = BagTruth.MEASURED


class StepSampler(Sampler[list[tuple[int, int]]]):
    """Yields each step's (position, sample index) pairs, from start_step to the run's end.

    The stream of positions goes through all samples in passes; every pass has an order of its
    own, drawn from (seed, pass). Of processes that train together, each takes its own part of
    every step's positions, batch_size of them: no sample is drawn by two.
    """

    def __init__(
        self,
        bags: Sequence[BagTargets],
        seed: int,
        batch_size: int,
        steps: int,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__()
        self._ranks = ranks
        self._sizes = [len(bag.targets) for bag in bags]
        self._weights = [bag.weight for bag in bags]
        self._seed = seed
        self._batch_size = batch_size
        self._steps = steps
        self.start_step = 0
        self._pass = -1
        self._order = np.zeros(0, np.int64)

    @property
    def samples_per_pass(self) -> int:
        """Draws after which every sample was seen, as often as its bag's weight says."""
        return sum(max(1, round(w * n)) for w, n in zip(self._weights, self._sizes) if n)

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in range(self.start_step, self._steps):
            yield self.step(step)

    def step(self, step: int) -> list[tuple[int, int]]:
        """The (position, sample index) pairs of one step that are this process's."""
        first = (step * self._ranks.count + self._ranks.rank) * self._batch_size
        return [(p, self._sample(p)) for p in range(first, first + self._batch_size)]

    def _sample(self, position: int) -> int:
        number, place = divmod(position, self.samples_per_pass)
        if number != self._pass:
            self._pass, self._order = number, self._make_order(number)
        return int(self._order[place])

    def _make_order(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([self._seed, number, 1])
        parts, start = [], 0
        for weight, size in zip(self._weights, self._sizes):
            if size:
                draws = max(1, round(weight * size))
                rounds = [rng.permutation(size) for _ in range(-(-draws // size))]
                parts.append(start + np.concatenate(rounds)[:draws])
            start += size
        return rng.permutation(np.concatenate(parts))


class TripleDataset(Dataset[Batch]):
    """Batches of targets of several bags, with earlier and later frames and stereo partners.

    Indexed by the (position, sample index) pairs of StepSampler; the position alone decides
    which neighbours are drawn.
    """

    def __init__(
        self,
        bags: Sequence[BagTargets],
        seed: int,
        small_motion_share: float = 0.0,
        alone: bool = False,
    ) -> None:
        """Read nothing yet.

        Args:
            bags: what is drawn from.
            seed: of the neighbours that are drawn.
            small_motion_share: see PairsConfig.
            alone: leave all images but the targets' out.
        """
        kinds = list(BagTruth)
        self._samples = [
            (bag.cache, target, kinds.index(bag.truth)) for bag in bags for target in bag.targets
        ]
        self._alone = alone
        self._stereo = any(bag.cache.partner_images is not None for bag in bags)
        self._seed = seed
        self._small_motion_share = small_motion_share

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> Batch:
        """The batch of these keys, gathered at once."""
        samples = [self._sample(position, index) for position, index in keys]
        fields = zip(*samples)
        return Batch(*(torch.from_numpy(np.stack(field)) for field in fields))

    def _sample(self, position: int, index: int) -> tuple[np.ndarray, ...]:
        cache, target, truth_kind = self._samples[index]
        rng = np.random.default_rng([self._seed, position, 2])
        earlier, later = target.draw(rng, self._small_motion_share)
        frame = target.frame
        height, width = cache.images.shape[1:3]
        if cache.depth_m is None:
            depth_m = np.full((height, width), np.nan, np.float32)
        else:
            depth_m = cache.depth_m[frame]
        stamps = cache.stamps_ns[[earlier, frame, later]]
        images = [cache.images[frame]]
        if not self._alone:
            images += [cache.images[earlier], cache.images[later]]
            if self._stereo:
                # All samples of a batch have as many frames, also those of bags without a pair.
                partners = cache.partner_images
                images.append(np.zeros_like(images[0]) if partners is None else partners[frame])
        travelled = (cache.travelled_m(earlier, frame), cache.travelled_m(frame, later))
        return (
            np.stack(images),
            cache.intrinsics[frame],
            cache.visible[frame].astype(np.float32),
            depth_m,
            relative_motion(cache.world_T_cam, earlier, frame),
            relative_motion(cache.world_T_cam, frame, later),
            (np.diff(stamps) * 1e-9).astype(np.float32),
            stereo_motion(cache.partner_right_m, frame),
            np.array(travelled, np.float32),
            np.array(truth_kind),
        )


def relative_motion(world_T_cam: np.ndarray | None, first: int, second: int) -> np.ndarray:
    """second_T_first, float32 [4,4]; NaN where a pose is unknown."""
    if world_T_cam is None or not np.isfinite(world_T_cam[[first, second]]).all():
        return np.full((4, 4), np.nan, np.float32)
    motion = np.linalg.inv(world_T_cam[second]) @ world_T_cam[first]
    return motion.astype(np.float32)


def stereo_motion(partner_right_m: np.ndarray | None, frame: int) -> np.ndarray:
    """stereo_T_target of a rectified pair, float32 [4,4]; NaN without a partner.

    What the target sees in front of itself lies to the left of a partner on its right.
    """
    if partner_right_m is None or not np.isfinite(partner_right_m[frame]):
        return np.full((4, 4), np.nan, np.float32)
    motion = np.eye(4, dtype=np.float32)
    motion[0, 3] = -partner_right_m[frame]
    return motion


def all_at_once(batch: Batch) -> Batch:
    """The collate function of datasets that already return batches."""
    return batch
