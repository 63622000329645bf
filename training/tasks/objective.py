"""What is minimised: self-supervision by view synthesis, and truth where bags hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import ArithmeticPrecision, LossConfig, MotionTeacher, TrainConfig
from training.data.batch import NEXT, PREVIOUS, TARGET, Batch
from training.geometry import (
    correct_axis_angle,
    correct_depth,
    disparity_to_depth,
    focal_factor,
    invert_transform,
    motion_to_transform,
    small_product,
)
from training.losses.depth import LogDepthLoss
from training.losses.depth_consistency import DepthConsistencyLoss
from training.losses.depth_unit import DepthUnitLoss, travel_excess
from training.losses.motion import MotionLoss, MotionLossResult
from training.losses.shared_mean import shared_mean
from training.losses.velocity import VelocityLoss
from training.networks.depth_net import SCALES, DepthNet
from training.networks.feature_net import FeatureNet, FrozenFeatures
from training.networks.pose_net import PoseNet
from training.tasks.sources import make_views
from training.tasks.view_terms import ViewTerms
from training.tracking.known_turns import motions_by_turn
from training.tracking.motions import at_travelled_length, tracked_motions
from training.tracking.stereo_excess import stereo_excess

_UNIT_WEIGHT = 0.1


@dataclass(frozen=True)
class Networks:
    """No pose network where nothing looks at neighbours, no features where nothing is matched."""

    depth: DepthNet
    pose: PoseNet | None
    features: FeatureNet | FrozenFeatures | None = None


@dataclass(frozen=True)
class Terms:
    """Scalars of one batch, total with gradient, the others unweighted; and its depth.

    Attributes:
        total: the objective.
        depth_loss: the objective without what teaches motion and features, no gradient.
        photometric, feature_metric, single_view, smoothness, velocity, consistency, depth,
            rotation_rad, translation: terms; NaN where not computed.
        depth_m: of the target [B,1,H,W], no gradient.
    """

    total: Tensor
    depth_loss: Tensor
    photometric: Tensor
    feature_metric: Tensor
    single_view: Tensor
    smoothness: Tensor
    velocity: Tensor
    consistency: Tensor
    depth: Tensor
    rotation_rad: Tensor
    translation: Tensor
    depth_m: Tensor

    def scalars(self) -> dict[str, Tensor]:
        """Every scalar by name."""
        names = (
            'photometric', 'feature_metric', 'single_view', 'smoothness', 'velocity',
            'consistency', 'depth', 'rotation_rad', 'translation',
        )  # fmt: skip
        return {'loss': self.total.detach(), **{name: getattr(self, name) for name in names}}


class Objective(nn.Module):
    """Networks and a batch -> Terms. Holds no weights, and of earlier batches only their unit."""

    def __init__(self, config: TrainConfig, training_fx: float) -> None:
        super().__init__()
        loss, network, run = config.loss, config.network, config.run
        self._weights = loss
        self._range = (network.min_depth, network.max_depth)
        self._training_fx = training_fx
        self._bf16 = run.precision is ArithmeticPrecision.BF16
        self._view_terms = ViewTerms(config)
        self._depth_loss = LogDepthLoss()
        self._motion_loss = MotionLoss()
        self._velocity_loss = VelocityLoss()
        self._depth_unit_loss = DepthUnitLoss()
        self._consistency_loss = DepthConsistencyLoss()
        # Kept in checkpoints, so that a resumed run holds the same unit.
        self._start: Tensor
        self.register_buffer('_start', torch.full((), float('nan')))

    def forward(
        self, networks: Networks, batch: Batch, images01: Tensor, coloured01: Tensor
    ) -> Terms:
        """Evaluate every term with a weight.

        Args:
            networks: to train or validate.
            batch: geometry and truth that belong to the images.
            images01: what losses compare, float32 [B,F,3,H,W].
            coloured01: the same as the networks see it.
        """
        weights = self._weights
        factor = focal_factor(batch.intrinsics[:, 0], self._training_fx)
        scales = SCALES if weights.photometric > 0 else 1
        unknown = images01.new_full((), float('nan'))
        total = images01.new_zeros(())
        photometric = smoothness = matching = single = velocity = unknown
        consistency = depth_term = rotation = translation = unknown
        taught_features = total
        disparities = self._disparities(networks.depth, coloured01[:, TARGET], scales)
        depth_m = self._depth(disparities[0], images01.shape[-2:], factor)
        forward_T: Tensor | None = None
        if networks.pose is not None and weights.needs_neighbours:
            forward_T = self.motions(
                networks.pose, coloured01, batch.intrinsics, _pairs(weights)
            )
        taught_T = self._taught_motions(batch, images01, depth_m)
        if weights.compares_views:
            seen_T = self._seen_motions(forward_T, taught_T)
            views = make_views(batch, images01, seen_T, weights.stereo, factor)
            compared = self._view_terms(disparities, views, networks.features)
            total, taught_features = total + compared.total, compared.features_total
            excess = self._unit_excess(depth_m, taught_T, batch, images01)
            total = total + _UNIT_WEIGHT * self._unit_term(depth_m, excess)
            photometric, smoothness = compared.photometric, compared.smoothness
            matching, single = compared.feature_metric, compared.single_view
            if weights.consistency > 0 and seen_T is not None:
                depths = self._neighbours_depth(networks.depth, coloured01, factor)
                views = make_views(batch, images01, self._metric(seen_T, batch), False, factor)
                consistency_loss = self._consistency_loss(depth_m, depths, views)
                total = total + weights.consistency * consistency_loss
                consistency = consistency_loss.detach()
        if weights.velocity > 0 and forward_T is not None:
            velocity_loss = self._velocity_loss(forward_T[:2], batch.travelled_m.T)
            total = total + weights.velocity * velocity_loss
            velocity = velocity_loss.detach()
        if weights.depth > 0:
            depth_loss = self._depth_loss(depth_m, batch.depth_m[:, None])
            total = total + weights.depth * depth_loss
            depth_term = depth_loss.detach()
        teaches_depth, total = total.detach(), total + taught_features
        if weights.motion > 0 and forward_T is not None:
            motion = self._motion_term(forward_T, taught_T, batch)
            total = total + weights.motion * motion.total
            rotation, translation = motion.rotation_rad, motion.translation
        return Terms(
            total, teaches_depth, photometric, matching, single, smoothness, velocity,
            consistency, depth_term, rotation, translation, depth_m.detach(),
        )  # fmt: skip

    @contextmanager
    def single_precision(self) -> Iterator[None]:
        """Meanwhile networks compute as their graphs will, whatever they are trained in."""
        before, self._bf16 = self._bf16, False
        try:
            yield
        finally:
            self._bf16 = before

    def _seen_motions(self, forward_T: Tensor | None, taught_T: Tensor) -> Tensor | None:
        """What temporal views are synthesised by, [2,B,4,4]; None where there are none."""
        if forward_T is None or not self._weights.temporal:
            return None
        if not self._weights.warp_by_teacher:
            return forward_T[:2]
        return torch.where(_known(taught_T)[:2, :, None, None], taught_T[:2], forward_T[:2])

    def _motion_term(
        self, forward_T: Tensor, taught_T: Tensor, batch: Batch
    ) -> MotionLossResult:
        """The pose network's motions against its teacher's, of the pairs that both have."""
        if self._weights.teacher is MotionTeacher.FEATURES:
            taught_T = self._metric(taught_T, batch)
        pairs = min(len(forward_T), len(taught_T))
        forward_T, taught_T = forward_T[:pairs].flatten(0, 1), taught_T[:pairs].flatten(0, 1)
        return self._motion_loss(forward_T, taught_T, _known(taught_T))

    def _metric(self, motions: Tensor, batch: Batch) -> Tensor:
        """Motions of `_pairs` at their measured length, where one is learnt from."""
        if self._weights.velocity == 0:
            return motions
        return at_travelled_length(motions, batch.travelled_m.T)

    def _unit_excess(
        self, depth_m: Tensor, taught_T: Tensor, batch: Batch, images01: Tensor
    ) -> Tensor | None:
        """Logarithms of depth's unit over metres [P,B], NaN where unknown; None: nothing tells.

        Tracked motions take their unit from the depth itself. Metres come from the measured ways,
        the first two rows, and from the stereo partner.
        """
        weights = self._weights
        if not self._tracks:
            return None
        rows = []
        if weights.velocity > 0:
            length = torch.linalg.vector_norm(taught_T[..., :3, 3], dim=-1)
            rows.append(travel_excess(length, batch.travelled_m.T))
        if weights.stereo:
            rows.append(stereo_excess(batch, images01, depth_m.detach())[None])
        return torch.cat(rows) if rows else None

    def _unit_term(self, depth_m: Tensor, excess: Tensor | None) -> Tensor:
        """What holds the unit of depth where views are synthesised by tracked motions."""
        if excess is not None:
            return self._depth_unit_loss(depth_m, excess)
        return self._drift(depth_m) if self._tracks else depth_m.new_zeros(())

    @property
    def _tracks(self) -> bool:
        """Whether views are synthesised by tracked motions."""
        weights = self._weights
        return weights.warp_by_teacher and weights.teacher is MotionTeacher.FEATURES

    def _drift(self, depth_m: Tensor) -> Tensor:
        """Squared log distance of the batch's typical depth from that of the run's first batch."""
        logs = depth_m.log()
        typical = shared_mean(logs.sum(), logs.new_full((), logs.numel()))
        if self.training:
            self._start.copy_(torch.where(self._start.isnan(), typical.detach(), self._start))
        return (typical - self._start).square().nan_to_num()

    def _taught_motions(self, batch: Batch, images01: Tensor, depth_m: Tensor) -> Tensor:
        """later_T_earlier [P,B,4,4] of the first P of `_pairs`, NaN where unknown."""
        weights = self._weights
        if weights.motion == 0 or weights.teacher is not MotionTeacher.FEATURES:
            return _true_motions(batch)
        depth_m = depth_m.detach()
        if weights.velocity == 0:
            return tracked_motions(batch, images01, depth_m)
        turned_T = motions_by_turn(batch, images01, depth_m)
        known = _known(turned_T)
        if known.all():
            return turned_T
        return torch.where(
            known[..., None, None], turned_T, tracked_motions(batch, images01, depth_m)
        )

    def motions(
        self,
        net: PoseNet,
        frames01: Tensor,
        intrinsics: Tensor,
        pairs: Sequence[tuple[int, int]],
    ) -> Tensor:
        """Predicted motions of several pairs of frames, from one pass.

        Args:
            net: the pose network.
            frames01: [B,F,3,H,W] in [0, 1].
            intrinsics: of the frames [B,4].
            pairs: P pairs of indices of frames, (earlier, later).

        Returns:
            later_T_earlier [P,B,4,4].
        """
        earlier = torch.cat([frames01[:, first] for first, _ in pairs])
        later = torch.cat([frames01[:, second] for _, second in pairs])
        with self._autocast(earlier.device):
            axis_angle, translation = net(earlier, later)
        factor = focal_factor(intrinsics[:, 0], self._training_fx).repeat(len(pairs))
        axis_angle = correct_axis_angle(axis_angle, factor)
        transform = motion_to_transform(axis_angle, translation)
        return transform.unflatten(0, (len(pairs), len(frames01)))

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self._bf16)

    def _depth(self, disparity: Tensor, size: Sequence[int], factor: Tensor) -> Tensor:
        """Depth of the finest disparity [B,1,h,w] at the size (H, W) of the images."""
        if disparity.shape[-2:] != tuple(size):
            disparity = functional.interpolate(disparity, size, mode='bilinear')
        return correct_depth(disparity_to_depth(disparity, *self._range), factor)

    def _neighbours_depth(self, net: DepthNet, coloured01: Tensor, factor: Tensor) -> Tensor:
        """Of the frames before and after the target [2,B,1,H,W], from one pass."""
        frames01 = torch.cat([coloured01[:, PREVIOUS], coloured01[:, NEXT]])
        (disparity,) = self._disparities(net, frames01, 1)
        depth_m = self._depth(disparity, frames01.shape[-2:], factor.repeat(2))
        return depth_m.unflatten(0, (2, -1))

    def _disparities(self, net: DepthNet, image01: Tensor, scales: int) -> list[Tensor]:
        with self._autocast(image01.device):
            return net(image01, scales)


def _pairs(weights: LossConfig) -> list[tuple[int, int]]:
    """Frames (earlier, later) that the pose network sees; the order of `_true_motions`."""
    pairs = [(PREVIOUS, TARGET), (TARGET, NEXT)]
    if weights.motion > 0 and weights.motion_more_pairs:
        pairs += [(TARGET, PREVIOUS), (NEXT, TARGET), (PREVIOUS, NEXT)]
    return pairs


def _true_motions(batch: Batch) -> Tensor:
    backward = invert_transform(batch.target_T_previous)
    return torch.stack(
        [
            batch.target_T_previous,
            batch.next_T_target,
            backward,
            invert_transform(batch.next_T_target),
            small_product(batch.next_T_target, batch.target_T_previous),
        ]
    )


def _known(transforms: Tensor) -> Tensor:
    return torch.isfinite(transforms).all(-1).all(-1)
