"""Terms that compare the target with its sources, by colours and by learnt features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.config import ArithmeticPrecision, TrainConfig
from training.losses.coarse import CoarsePhotometricLoss
from training.losses.feature_metric import FeatureMetricLoss
from training.losses.photometric import PhotometricError
from training.losses.self_supervised import SelfSupervisedLoss
from training.losses.single_view import SingleViewLoss
from training.losses.smoothness import EdgeAwareSmoothness
from training.losses.views import Views
from training.networks.feature_net import FeatureNet, FrozenFeatures


@dataclass(frozen=True)
class ViewTermsResult:
    """Weighted sums with gradient, and single terms without weight and gradient.

    Attributes:
        total: what teaches depth and motion.
        features_total: what teaches a FeatureNet that is trained along from single views; else 0.
        photometric, smoothness, feature_metric, single_view: NaN where not computed.
    """

    total: Tensor
    features_total: Tensor
    photometric: Tensor
    smoothness: Tensor
    feature_metric: Tensor
    single_view: Tensor


class ViewTerms(nn.Module):
    """Disparities and Views -> ViewTermsResult. Holds no weights."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        loss, network = config.loss, config.network
        depth_range = (network.min_depth, network.max_depth)
        self._weights = loss
        self._bf16 = config.run.precision is ArithmeticPrecision.BF16
        self._self_supervised = SelfSupervisedLoss(
            *depth_range,
            loss.smoothness,
            loss.automask,
            photometric_error=PhotometricError(loss.robust),
            smoothness=EdgeAwareSmoothness(
                loss.smoothness_edges,
                loss.first_order,
                loss.second_order,
                loss.normalise_disparity,
            ),
        )
        self._coarse = CoarsePhotometricLoss(*depth_range)
        self._feature_metric = FeatureMetricLoss(*depth_range)
        self._single_view = SingleViewLoss(
            config.features.discriminative, config.features.convergent
        )

    def forward(
        self,
        disparities: Sequence[Tensor],
        views: Views,
        features: FeatureNet | FrozenFeatures | None,
    ) -> ViewTermsResult:
        """disparities: finest first; features: None where loss.feature_metric is 0."""
        weights = self._weights
        total = features_total = views.target.new_zeros(())
        photometric = smoothness = matching = single = views.target.new_full((), float('nan'))
        if weights.photometric > 0:
            result = self._self_supervised(disparities, views)
            total = total + weights.photometric * result.total
            photometric, smoothness = result.photometric, result.smoothness
        if weights.coarse > 0:
            total = total + weights.coarse * self._coarse(disparities[0], views)
        if features is not None:
            featured, features_total = self._featured(features, views)
            loss = self._feature_metric(disparities[0], featured)
            total = total + weights.feature_metric * loss
            matching = loss.detach()
            if isinstance(features, FeatureNet):
                single = features_total.detach()
        return ViewTermsResult(total, features_total, photometric, smoothness, matching, single)

    def _featured(
        self, net: FeatureNet | FrozenFeatures, views: Views
    ) -> tuple[Views, Tensor]:
        """The views as features see them, and the single-view loss of a net that learns."""
        images01 = torch.cat([views.target[None], views.sources])
        flat = images01.flatten(0, 1)
        loss = flat.new_zeros(())
        with torch.autocast(flat.device.type, torch.bfloat16, enabled=self._bf16):
            if isinstance(net, FrozenFeatures):
                matched = net.matched(flat)
            else:
                encoded = net.encoder(flat)
                of_target = [feature[: len(views.target)] for feature in encoded]
                reconstructions = net.decoder(of_target[-1])
                matched = encoded[0]
        if isinstance(net, FeatureNet):
            loss = self._single_view(of_target, reconstructions, views.target).total
        # Sampling goes plane by plane, and wants each channel's pixels together.
        matched = matched.float().contiguous().unflatten(0, images01.shape[:2])
        return views.featured(matched[0], matched[1:]), loss
