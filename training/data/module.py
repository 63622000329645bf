"""From bags to batches: caches, split, neighbours and loaders of one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.data import DataLoader

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from training.config import BagSource, BagTruth, Monitor, MotionMeasure, TrainConfig
from training.data.batch import Batch
from training.data.cache import (
    TOLERANCE_NS,
    CacheSettings,
    FrameCache,
    default_cache_root,
    open_cache,
)
from training.data.dataset import BagTargets, StepSampler, TripleDataset, all_at_once
from training.data.pairs import (
    Target,
    find_targets,
    judge_pairs,
    single_targets,
    split_validation,
)
from training.progress import Progress
from training.ranks import ALONE, Ranks

_VALIDATION_SEED = 1
_MAX_VALIDATION_SAMPLES = 512
_LARGEST_START_SHIFT = 0.45
"""Of the image width. As published it is 0.29 at the start; at 0.8 nothing was learnt."""


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from.

    Attributes:
        training: camera that the network is made for, in network pixels.
        train, validation: targets of every bag.
    """

    training: Intrinsics
    train: tuple[BagTargets, ...]
    validation: tuple[BagTargets, ...]

    @property
    def has_depth(self) -> bool:
        """Whether any frame to train on has depth truth."""
        return any(
            bag.cache.has_truth[target.frame] for bag in self.train for target in bag.targets
        )

    @property
    def learns_metres(self) -> bool:
        """Whether any bag that is learnt from has truth in metres, as far as it has any."""
        return any(bag.truth.is_metric for bag in self.train if bag.targets)

    @property
    def validates_metres(self) -> bool:
        """Whether any frame to validate on has depth truth in metres, or there are no frames."""
        bags = [bag for bag in self.validation if bag.targets]
        return not bags or any(
            bag.cache.has_truth[target.frame]
            for bag in bags if bag.truth.is_metric
            for target in bag.targets
        )  # fmt: skip

    @property
    def has_poses(self) -> bool:
        """Whether of any frame to train on odometry tells the motion to a neighbour."""
        return any(_has_poses(bag.cache, bag.targets) for bag in self.train)

    @property
    def has_stereo(self) -> bool:
        """Whether any frame to train on has a stereo partner."""
        return any(
            np.isfinite(bag.cache.partner_right_m[target.frame])
            for bag in self.train if bag.cache.partner_right_m is not None
            for target in bag.targets
        )  # fmt: skip

    @property
    def has_velocity(self) -> bool:
        """Whether of any frame to train on it is known how far the camera went to a neighbour."""
        return any(
            np.isfinite(bag.cache.travelled_m(neighbour, target.frame))
            for bag in self.train if bag.cache.place_m is not None
            for target in bag.targets
            for neighbour in target.neighbours
        )  # fmt: skip


def prepare_data(config: TrainConfig, progress: Progress) -> TrainingData:
    """Open or build every bag's cache, split it and find its targets.

    Raises:
        ConfigError: nothing to train on in any bag, or a loss wants truth that no bag holds, or
            of another kind.
        DepthRosError: a bag cannot be read, or the disk is full.
    """
    _check_kinds(config)
    training = _given_training_camera(config)
    caches: list[FrameCache] = []
    for source in config.bags:
        cache = open_cache(_settings(config, source, training), cache_root(config), progress)
        if training is None:
            training = _intrinsics(cache)
        if cache.odometry_fault and not config.supervised:
            progress(f'{source.path}: its odometry is not used: {cache.odometry_fault}')
        caches.append(cache)
    assert training is not None
    bags = [_split(config, source, cache) for source, cache in zip(config.bags, caches)]
    still = [message for _, _, message in bags if message is not None]
    if len(still) == len(bags):
        raise ConfigError(still[0])
    for message in still:
        progress(f'not used: {message}')
    data = TrainingData(training, tuple(b[0] for b in bags), tuple(b[1] for b in bags))
    _check_truth(config, data)
    for source, cache in zip(config.bags, caches):
        _tell_near_start(config, source, cache, progress)
    for source, bag, kept in zip(config.bags, data.train, data.validation):
        progress(
            f'{source.path}: {len(bag.cache)} frames, {len(bag.targets)} to train on, '
            f'{len(kept.targets)} to validate on'
        )
    return data


def cache_root(config: TrainConfig) -> Path:
    """Folder that holds all caches."""
    if config.data.cache is not None:
        return config.data.cache.expanduser()
    return default_cache_root()


class FrameDataModule(pl.LightningDataModule):
    """Loaders over TrainingData; of processes that train together, each loads its part."""

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        ranks: Ranks = ALONE,
        targets_alone: bool = False,
    ) -> None:
        """Load nothing yet.

        Args:
            config: the run.
            data: its bags.
            ranks: this process among those that train together.
            targets_alone: leave other images out, as always where a network learns from true
                depth.
        """
        super().__init__()
        self._targets_alone = targets_alone or config.supervised
        self._config = config
        self._data = data
        run = config.run
        self._ranks = ranks
        self._sampler = StepSampler(data.train, run.seed, run.batch_size, steps=1)
        self.steps_per_epoch = run.steps_per_epoch or max(
            1, self._sampler.samples_per_pass // (run.batch_size * ranks.count)
        )
        self.total_steps = run.epochs * self.steps_per_epoch
        self._sampler = StepSampler(
            data.train, run.seed, run.batch_size, self.total_steps, ranks
        )

    @property
    def validates(self) -> bool:
        """Whether there are validation frames."""
        return any(bag.targets for bag in self._data.validation)

    def start_at(self, step: int) -> None:
        """Let the training loader begin with this step."""
        self._sampler.start_step = step

    def train_dataloader(self) -> DataLoader[Batch]:
        """The whole run's steps, as one pass."""
        config = self._config
        dataset = TripleDataset(
            self._data.train, config.run.seed, config.pairs.small_motion_share,
            self._targets_alone,
        )  # fmt: skip
        return self._loader(dataset, self._sampler, config.data.workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation frames with neighbours that are always the same; empty without any."""
        dataset = TripleDataset(
            self._data.validation, _VALIDATION_SEED, alone=self._targets_alone
        )
        count = len(dataset)
        chosen = np.linspace(0, count - 1, min(count, _MAX_VALIDATION_SAMPLES)).round().astype(int)
        keys = [(int(i), int(i)) for i in chosen]
        size = self._config.run.batch_size
        batches = [keys[i : i + size] for i in range(0, len(keys), size)]
        if len(batches) >= self._ranks.count:
            batches = batches[self._ranks.rank :: self._ranks.count]
        # Fewer go to every process, which leaves the means over all of them as they are.
        return self._loader(dataset, batches, workers=0)

    def _loader(
        self,
        dataset: TripleDataset,
        batches: StepSampler | list[list[tuple[int, int]]],
        workers: int,
    ) -> DataLoader[Batch]:
        return DataLoader(
            dataset,
            batch_sampler=batches,  # type: ignore[arg-type]
            collate_fn=all_at_once,  # type: ignore[arg-type]
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self._config.run.device != 'cpu' and torch.cuda.is_available(),
        )


def _given_training_camera(config: TrainConfig) -> Intrinsics | None:
    data = config.data
    if data.focal is None:
        return None
    return Intrinsics(
        data.focal, data.focal, (data.width - 1) / 2, (data.height - 1) / 2,
        data.width, data.height,
    )  # fmt: skip


def _settings(
    config: TrainConfig, source: BagSource, training: Intrinsics | None
) -> CacheSettings:
    data = config.data
    return CacheSettings(
        source=replace(source, weight=1.0, truth=BagTruth.MEASURED),
        width=data.width,
        height=data.height,
        fit=data.fit,
        rectify=data.rectify,
        # Depth Pro is told the camera of every image, which the robot does not crop for it either.
        training=None if config.depth_pro is not None else training,
        resize_filter=data.resize_filter,
        depth_truth=data.depth_truth,
        odometry_truth=data.odometry_truth,
        stereo=config.loss.stereo,
        velocity=config.loss.velocity > 0,
    )


def _intrinsics(cache: FrameCache) -> Intrinsics:
    fx, fy, cx, cy = (float(value) for value in cache.intrinsics[0])
    height, width = cache.images.shape[1:3]
    return Intrinsics(fx, fy, cx, cy, width, height)


def _split(
    config: TrainConfig, source: BagSource, cache: FrameCache
) -> tuple[BagTargets, BagTargets, str | None]:
    """Targets to train and to validate on, and where there are none of the first, the reason."""
    data, reason = config.data, None
    kept = split_validation(len(cache), data.validation_share, data.validation_blocks)
    if not config.needs_neighbours:
        seen = _seen_alone(config, source, cache)
        train, validation = single_targets(~kept & seen), single_targets(kept & seen)
        if not train:
            reason = _nothing_seen(config, source)
    else:
        if config.pairs.measure is MotionMeasure.POSE and cache.world_T_cam is None:
            found = cache.odometry_fault
            of_camera = f' of its camera: {found}' if found else ''
            raise ConfigError(
                f'pairs.measure is pose, but {source.path} has no odometry{of_camera}; use '
                f'pairs.measure=flow'
            )
        motion, ratio = judge_pairs(cache, config.pairs), config.pairs.gap_ratio
        train = find_targets(motion, ~kept, ~kept, ratio)
        # Frames of the training part may serve as neighbours here: only targets are held out.
        validation = find_targets(motion, kept, np.ones_like(kept), ratio)
        if not train:
            reason = _no_motion(config, source, motion.largest)
    return (
        BagTargets(cache, train, source.weight, source.truth),
        BagTargets(cache, validation, source.weight, source.truth),
        reason,
    )


def _seen_alone(config: TrainConfig, source: BagSource, cache: FrameCache) -> np.ndarray:
    """Frames that teach something without those before and after them, bool [n]."""
    if config.supervised and not config.truths:
        # A field of view is learnt from the calibration.
        return np.ones(len(cache), bool)
    seen = np.zeros(len(cache), bool)
    if source.truth in config.truths:
        seen |= cache.has_truth
    if not config.supervised and cache.partner_right_m is not None:
        seen |= np.isfinite(cache.partner_right_m)
    return seen


def _nothing_seen(config: TrainConfig, source: BagSource) -> str:
    if config.supervised and not config.truths:
        return f'no frame of {source.path} is left to train on; set data.validation_share=0'
    if config.supervised and source.truth not in config.truths:
        return _other_kind(config, source)
    wanted, cures = [], []
    if config.truths:
        wanted.append('depth truth')
        cures.append('name its topic with --depth')
        if not config.data.depth_truth:
            cures = ['set data.depth_truth=true']
    if not config.supervised and config.loss.stereo:
        wanted.append('a stereo partner')
        cures += ['name its topic with --stereo-image', 'set loss.temporal=true']
    return (
        f'no frame of {source.path} to train on has {" or ".join(wanted)}; {", or ".join(cures)}'
    )


def _other_kind(config: TrainConfig, source: BagSource) -> str:
    learnt = ' or '.join(sorted(kind.value for kind in config.truths))
    return (
        f'the truth of {source.path} is {source.truth.value}, and preset {config.name} learns '
        f'from {learnt} truth; leave it out, or say --truth {learnt.split()[0]} where that is '
        f'what it is'
    )


def _no_motion(config: TrainConfig, source: BagSource, largest: float) -> str:
    pairs = config.pairs
    if pairs.measure is MotionMeasure.POSE:
        wanted = f'{pairs.min_translation_m:g} to {pairs.max_translation_m:g} m translation'
        keys = 'pairs.min_translation_m and pairs.max_translation_m'
    else:
        wanted = f'parallax of {pairs.min_parallax:g} to {pairs.max_parallax:g} image widths'
        keys = 'pairs.min_parallax and pairs.max_parallax'
    return (
        f'no frame of {source.path} has neighbours on both sides with {wanted} (largest seen: '
        f'{largest:.4g}); set {keys}, or record more motion'
    )


def _tell_near_start(
    config: TrainConfig, source: BagSource, cache: FrameCache, progress: Progress
) -> None:
    """Say when a network that knows nothing yet could not find the partner's pixels."""
    if cache.partner_right_m is None:
        return
    # Half way between 0 and 1, disparity stands for about twice the smallest depth.
    nearest_m, baseline_m = config.network.min_depth, np.nanmax(np.abs(cache.partner_right_m))
    shift = cache.intrinsics[0, 0] * baseline_m / (2 * nearest_m) / config.data.width
    if shift > _LARGEST_START_SHIFT:
        progress(
            f'{source.path}: with network.min_depth {nearest_m:g} m, depth starts so near that '
            f'its stereo partner sees it {shift:.0%} of the image width away, where training from '
            f'random weights hardly gets off; --set network.min_depth={baseline_m:.2g} is better'
        )


def _check_kinds(config: TrainConfig) -> None:
    """Refuse what needs no bag to be opened."""
    others = [source for source in config.bags if source.truth not in config.truths]
    if not config.truths or not others:
        return
    # Stages may share a list of bags, of which each takes what teaches it; what is up to scale
    # among metres is a mistake.
    if len(others) == len(config.bags) or config.depth_pro is None:
        raise ConfigError(_other_kind(config, others[0]))


def _has_poses(cache: FrameCache, targets: Sequence[Target]) -> bool:
    """Whether any target and one of its neighbours have poses."""
    if cache.world_T_cam is None:
        return False
    known = np.isfinite(cache.world_T_cam).all((1, 2))
    return any(known[t.frame] and known[list(t.neighbours)].any() for t in targets)


def _check_truth(config: TrainConfig, data: TrainingData) -> None:
    if config.run.monitor is Monitor.ABS_REL and not data.validates_metres:
        raise ConfigError(
            'run.monitor is abs_rel, and no frame to validate on has depth truth in metres; set '
            'run.monitor=loss, or keep frames that have some with data.validation_share'
        )
    if config.supervised:
        return
    if config.loss.depth > 0 and not data.has_depth:
        raise ConfigError(
            f'loss.depth is {config.loss.depth:g}, but no frame to train on has depth truth'
        )
    if config.loss.uses_odometry and not data.has_poses:
        raise ConfigError(
            f'loss.motion is {config.loss.motion:g}, but no bag has odometry of both a frame to '
            f'train on and a neighbour, at most {TOLERANCE_NS / 1e6:g} ms from their images'
            + ''.join(
                f'; of {source.path}, {bag.cache.odometry_fault}'
                for source, bag in zip(config.bags, data.train) if bag.cache.odometry_fault
            )
        )
    if config.loss.stereo and not data.has_stereo:
        raise ConfigError(
            'loss.stereo is true, but no frame to train on has a partner of a second camera '
            'beside the first; name its images with --stereo-image'
        )
    if config.loss.velocity > 0 and not data.has_velocity:
        raise ConfigError(
            f'loss.velocity is {config.loss.velocity:g}, but no odometry or twist of a bag '
            f'measured the way between a frame to train on and a neighbour'
        )
