"""The whole description of one training run, as presets and the command line fill it.

A preset is a YAML file of these sections (config/training/*.yaml); what it leaves out has the
default given here, and a key that is not here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from training.config.augment import AugmentConfig
from training.config.data import BagSource, DataConfig, MotionMeasure, PairsConfig
from training.config.features import FeatureMode, FeaturesConfig
from training.config.loss import LossConfig, MotionTeacher
from training.config.optimizer import OptimizerConfig, Schedule
from training.config.run import ArithmeticPrecision, ExportConfig, Monitor, RunConfig
from training.networks.build import NetworkConfig


@dataclass(frozen=True)
class TrainConfig:
    """One run: sections as in the preset, see their classes."""

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


__all__ = [
    'ArithmeticPrecision',
    'AugmentConfig',
    'BagSource',
    'DataConfig',
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
