"""The whole description of one training run, as presets and the command line fill it.

A preset is a YAML file of these sections (config/training/*.yaml); what it leaves out has the
default given here, and a key that is not here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from training.config.augment import AugmentConfig
from training.config.data import (
    METRIC_TRUTHS,
    BagSource,
    BagTruth,
    DataConfig,
    MotionMeasure,
    PairsConfig,
)
from training.config.den import DenTraining
from training.config.depth_pro import DepthProPhase, DepthProTraining
from training.config.features import FeatureMode, FeaturesConfig
from training.config.loss import LossConfig, MotionTeacher
from training.config.optimizer import OptimizerConfig, Schedule
from training.config.require import require
from training.config.run import ArithmeticPrecision, ExportConfig, Monitor, RunConfig
from training.networks.backbones import PretrainedWeights
from training.networks.build import NetworkConfig


@dataclass(frozen=True)
class TrainConfig:
    """One run: sections as in the preset, see their classes.

    A section of a family that learns from true depth, such as depth_pro, stands in for network,
    features and loss.
    """

    name: str = 'custom'
    bags: tuple[BagSource, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    depth_pro: DepthProTraining | None = None
    den: DenTraining | None = None

    def __post_init__(self) -> None:
        require(
            self.depth_pro is None or self.den is None,
            'depth_pro and den are both given; a run trains one network',
        )
        require(
            not self.supervised or self.run.monitor is not Monitor.DEPTH_LOSS,
            'run.monitor is depth_loss, which leaves out what teaches motion, and this preset '
            'learns none (allowed: loss, abs_rel)',
        )

        if self.depth_pro is not None:
            self._check_size('depth_pro', self.depth_pro.network.image_px)
        if self.den is not None:
            self._check_size('den', self.den.network.input_px)

    def _check_size(self, section: str, side_px: int) -> None:
        require(
            (self.data.width, self.data.height) == (side_px, side_px),
            f'data is {self.data.width} x {self.data.height}; the network of {section} sees '
            f'{side_px} x {side_px}: set data.width and data.height',
        )

    @property
    def supervised(self) -> bool:
        """Whether a network learns from true depth alone, without neighbours of its frames."""
        return self.depth_pro is not None or self.den is not None

    @property
    def needs_neighbours(self) -> bool:
        """Whether the frames before and after the target are looked at."""
        return not self.supervised and self.loss.needs_neighbours

    @property
    def truths(self) -> frozenset[BagTruth]:
        """Kinds of depth truth that are learnt from; none where depth truth is not looked at."""
        if self.depth_pro is not None:
            return self.depth_pro.truths
        return METRIC_TRUTHS if self.den is not None or self.loss.depth > 0 else frozenset()

    def without_pretrained(self, *, pose: bool = True, features: bool = True) -> TrainConfig:
        """The same run for networks that are filled afterwards: nothing is fetched for them.

        Args:
            pose: whether the pose network is, too.
            features: whether the features are, too.
        """
        none, network, den = PretrainedWeights.NONE, self.network, self.den
        if den is not None:
            den = replace(den, network=replace(den.network, pretrained=none))
        # A pose backbone of which nothing is said begins as the other one would.
        of_pose = none if pose else network.pose_pretrained or network.pretrained
        kept = self.features
        if features:
            kept = replace(kept, network=replace(kept.network, pretrained=none))
        return replace(
            self,
            network=replace(network, pretrained=none, pose_pretrained=of_pose),
            features=kept,
            den=den,
        )


__all__ = [
    'ArithmeticPrecision',
    'AugmentConfig',
    'BagSource',
    'BagTruth',
    'DataConfig',
    'DenTraining',
    'DepthProPhase',
    'DepthProTraining',
    'ExportConfig',
    'FeatureMode',
    'FeaturesConfig',
    'LossConfig',
    'Monitor',
    'MotionMeasure',
    'MotionTeacher',
    'OptimizerConfig',
    'PairsConfig',
    'RunConfig',
    'Schedule',
    'TrainConfig',
]
