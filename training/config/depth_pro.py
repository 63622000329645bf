"""How Depth Pro is trained from true depth."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

from training.config.data import BagTruth
from training.config.require import require
from training.networks.depth_pro import DepthProConfig
from training.networks.vit_weights import VitWeights


class DepthProPhase(enum.Enum):
    """What is learnt; the phases are runs of their own, each begun with the one before."""

    GENERALISE = 'generalise'
    """Depth of every kind of truth: stage 1."""
    SHARPEN = 'sharpen'
    """Depth and its derivatives, of rendered truth in metres alone: stage 2."""
    FIELD_OF_VIEW = 'field-of-view'
    """The field of view, beside a depth network that stays as it is."""


@dataclass(frozen=True)
class DepthProTraining:
    """Depth Pro by the losses of a phase; the rest of a run is in the sections that all share.

    Attributes:
        network: sizes. Its image is square: data.width and data.height are its image_px.
        phase: what is learnt.
        vit_weights: where ViTs begin that --init does not fill.
        encoder_lr: learning rate of the ViTs; optimizer.lr is that of everything else. 0 leaves
            them as they are, which takes a fifth of the time.
        freeze_norms: leave the layer norms of pretrained ViTs as they are.
        first_answer: canonical inverse depth that a network from random weights answers at first,
            everywhere; with 0, as published, one without pretrained ViTs may answer 0 for good
            behind its last rectifier. A metre at 53 degrees is 1, two metres are 0.5.
        derivative_weight: of the errors of derivatives (MAGE, MALE, MSGE), against 1 for those of
            single pixels. The paper states no weights. Canonical inverse depth of a rendered
            room deviates by 0.06 from its median, and its derivatives are as much smaller than
            those of stage 1, of shapes brought to deviation 1.
        min_depth_m, max_depth_m: range of the depth that the model folder states, in metres;
            farther depth is unknown to the robot.
    """

    network: DepthProConfig = field(default_factory=DepthProConfig)
    phase: DepthProPhase = DepthProPhase.GENERALISE
    vit_weights: VitWeights = VitWeights.NONE
    encoder_lr: float = 1.28e-5
    freeze_norms: bool = False
    first_answer: float = 0.0
    derivative_weight: float = 1.0
    min_depth_m: float = 0.1
    max_depth_m: float = 200.0

    def __post_init__(self) -> None:
        require(self.encoder_lr >= 0, f'depth_pro.encoder_lr {self.encoder_lr} is below 0')
        require(self.first_answer >= 0, f'depth_pro.first_answer {self.first_answer} is below 0')
        require(
            0 <= self.derivative_weight < math.inf,
            f'depth_pro.derivative_weight {self.derivative_weight} must be 0 or more and finite',
        )
        require(
            1e-4 <= self.min_depth_m < self.max_depth_m <= 1e4,
            f'depth_pro: depth range {self.min_depth_m} to {self.max_depth_m} m must lie within '
            '0.0001 to 10000',
        )
        require(
            self.phase is not DepthProPhase.FIELD_OF_VIEW or self.network.fov_head,
            'depth_pro.phase field-of-view needs depth_pro.network.fov_head: true',
        )

    @property
    def truths(self) -> frozenset[BagTruth]:
        """Kinds of depth truth that the phase learns from; the field of view needs no depth."""
        if self.phase is DepthProPhase.GENERALISE:
            return frozenset(BagTruth)
        return frozenset({BagTruth.RENDERED} if self.phase is DepthProPhase.SHARPEN else ())
