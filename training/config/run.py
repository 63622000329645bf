"""Length, speed and bookkeeping of a run, and what becomes of its result."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from depth_ros.model_folder.spec import Precision
from training.config.require import require


class ArithmeticPrecision(enum.Enum):
    """Number format of the networks' activations; losses are always computed in fp32."""

    FP32 = 'fp32'
    BF16 = 'bf16'


class Monitor(enum.Enum):
    """What the best checkpoint and the early stop go by, on the validation frames."""

    LOSS = 'loss'
    """The training objective; uses no truth that the training does not use."""
    DEPTH_LOSS = 'depth_loss'
    """The objective without its motion term, which would drown what the depth network gains; of
    runs that learn motion."""
    ABS_REL = 'abs_rel'
    """AbsRel against depth truth, median-scaled unless depth is supervised."""


@dataclass(frozen=True)
class RunConfig:
    """Length, speed and bookkeeping of the run.

    Attributes:
        seed: of weights, order and augmentation.
        batch_size: samples a step, of every process where several train together.
        epochs: passes, each ended by a validation.
        steps_per_epoch: None: as many as the frames fill once.
        precision: of the networks' activations.
        device: 'auto', 'cpu' or 'cuda'.
        threads: of torch on the CPU; 0: torch's own choice.
        log_every: steps between log rows.
        checkpoint_every: steps between checkpoints that a resume starts from.
        monitor: what the best checkpoint goes by.
        early_stop_epochs: epochs without improvement that end the run; 0: never.
        freeze_batch_norm: keep the statistics that batch norms begin with: for small batches.
    """

    seed: int = 0
    batch_size: int = 8
    epochs: int = 20
    steps_per_epoch: int | None = None
    precision: ArithmeticPrecision = ArithmeticPrecision.FP32
    device: str = 'auto'
    threads: int = 0
    log_every: int = 10
    checkpoint_every: int = 200
    monitor: Monitor = Monitor.LOSS
    early_stop_epochs: int = 0
    freeze_batch_norm: bool = False

    def __post_init__(self) -> None:
        for name in ('batch_size', 'epochs', 'log_every', 'checkpoint_every'):
            value = getattr(self, name)
            require(value >= 1, f'run.{name} {value} must be 1 or more')
        for name in ('seed', 'threads', 'early_stop_epochs'):
            value = getattr(self, name)
            require(value >= 0, f'run.{name} {value} must be 0 or more')
        require(
            self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            f'run.steps_per_epoch {self.steps_per_epoch} must be 1 or more',
        )
        require(
            self.device in ('auto', 'cpu', 'cuda'),
            f'run.device is {self.device!r} (allowed: auto, cpu, cuda)',
        )


@dataclass(frozen=True)
class ExportConfig:
    """What becomes of the best checkpoint.

    Attributes:
        precision: of the graphs; int8 is made of an exported model, since it is calibrated.
        licence: of the weights, as the model folder states it.
        odometry_scale: fit one factor to the odometry of the bags, where the model is up to
            scale and there is odometry, and fold it into the graphs.
        hold_scale: where nothing else makes the model metric, and the run began with a metric
            model folder, or the workdir of a run that learnt metres, keep these metres.
        weights: keep the weights beside the graphs, so that the model can be fine-tuned.
        evaluate: measure the exported model on the validation frames.
    """

    precision: Precision = Precision.FP32
    licence: str = 'unknown'
    odometry_scale: bool = True
    hold_scale: bool = False
    weights: bool = True
    evaluate: bool = True

    def __post_init__(self) -> None:
        require(
            self.precision is not Precision.INT8,
            'export.precision int8 must be fp32 or fp16; depth_ros export MODEL --precision int8 '
            '--bag BAG makes an 8-bit copy of the model',
        )
