"""The whole description of one training run, as presets and the command line fill it.

A preset is a YAML file of these sections (config/training/*.yaml); what it leaves out has the
default given here, and a key that is not here is refused.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from depth_ros.camera import RectifyMode
from depth_ros.errors import ConfigError
from depth_ros.model import Fit, Precision, ResizeFilter
from training.networks.build import NetworkConfig


class MotionMeasure(enum.Enum):
    """How the motion between two frames is measured when neighbours are chosen."""

    FLOW = 'flow'
    """Parallax in the images, what optical flow leaves after the best rotation: no truth used."""
    POSE = 'pose'
    """Translation by the bag's odometry [m]."""


class MotionTeacher(enum.Enum):
    """Whose motions the pose network is taught by, and views may be synthesised by."""

    ODOMETRY = 'odometry'
    """The bags': makes translation, and with it depth, metric."""
    FEATURES = 'features'
    """Features tracked between the frames, with the predicted depth: no truth used."""


class ArithmeticPrecision(enum.Enum):
    """Number format of the networks' activations; losses are always computed in fp32."""

    FP32 = 'fp32'
    BF16 = 'bf16'


class Schedule(enum.Enum):
    """Learning rate over the run, after the warm-up."""

    CONSTANT = 'constant'
    STEP = 'step'
    COSINE = 'cosine'


class Monitor(enum.Enum):
    """What the best checkpoint and the early stop go by, on the validation frames."""

    LOSS = 'loss'
    """The training objective; uses no truth that the training does not use."""
    DEPTH_LOSS = 'depth_loss'
    """The objective without its motion term, which would drown what the depth network gains."""
    ABS_REL = 'abs_rel'
    """AbsRel against depth truth, median-scaled unless depth is supervised."""


@dataclass(frozen=True)
class BagSource:
    """One bag, or a part of it.

    Attributes:
        path: bag folder or file.
        first: index of the first image used.
        last: index after the last image used; None: to the end.
        weight: how often its frames are drawn, against 1 for other bags.
        image_topic, camera_info_topic, depth_topic, odometry_topic: None: found in the bag.
    """

    path: Path
    first: int = 0
    last: int | None = None
    weight: float = 1.0
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    odometry_topic: str | None = None

    def __post_init__(self) -> None:
        _require(self.first >= 0, f'first frame {self.first} must be 0 or more')
        _require(
            self.last is None or self.last > self.first,
            f'last frame {self.last} must be above the first, {self.first}',
        )
        _require(self.weight > 0, f'bag weight {self.weight} must be above 0')


@dataclass(frozen=True)
class DataConfig:
    """Network view and split.

    Attributes:
        width, height: network input [pixels].
        fit: how camera images are fitted to it.
        resize_filter: how their pixels are averaged.
        focal: focal length that the model is made for [network pixels]; None: the first bag's.
            Cameras with another one train together through the first-order focal correction.
        rectify: whether images still have to be rectified.
        validation_share: share of every bag's frames that is kept for validation.
        validation_blocks: contiguous blocks that this share is split into; 1: the bag's tail.
        depth_truth, odometry_truth: whether truth in the bags is read at all.
        cache: folder of decoded frames; None: ~/.cache/depth_ros/frames.
        workers: processes that load batches; 0: the training process itself.
    """

    width: int = 256
    height: int = 192
    fit: Fit = Fit.LETTERBOX
    resize_filter: ResizeFilter = ResizeFilter.AREA
    focal: float | None = None
    rectify: RectifyMode = RectifyMode.AUTO
    validation_share: float = 0.1
    validation_blocks: int = 1
    depth_truth: bool = True
    odometry_truth: bool = True
    cache: Path | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        for name in ('width', 'height'):
            size = getattr(self, name)
            _require(
                size > 0 and size % 32 == 0, f'data.{name} {size} must be a multiple of 32'
            )
        _require(
            0 <= self.validation_share < 0.9,
            f'data.validation_share {self.validation_share} must be within 0 to 0.9',
        )
        _require(self.validation_blocks >= 1, 'data.validation_blocks must be 1 or more')


@dataclass(frozen=True)
class PairsConfig:
    """Which neighbours a frame is seen against.

    Attributes:
        measure: what motion is measured by.
        min_parallax, max_parallax: mean parallax wanted [share of image width], by flow.
        max_flow: largest median flow, rotation included [share of image width].
        min_translation_m, max_translation_m: translation wanted [m], by pose.
        max_rotation_rad: largest rotation, by pose and by the rotation fitted to the flow.
        max_gap_s: longest time between two frames; longer ones are a jump.
        max_gap_frames: most frames between neighbours.
        gap_ratio: longest gap of a frame, in units of its shortest with enough motion: the range
            of motions that the pose network is to know.
        small_motion_share: share of draws that take a smaller motion than wanted, so that the
            pose network knows standing and creeping, which a robot does a lot.
    """

    measure: MotionMeasure = MotionMeasure.FLOW
    min_parallax: float = 0.01
    max_parallax: float = 0.06
    max_flow: float = 0.2
    min_translation_m: float = 0.04
    max_translation_m: float = 0.15
    max_rotation_rad: float = 0.25
    max_gap_s: float = 1.5
    max_gap_frames: int = 16
    gap_ratio: float = 2.5
    small_motion_share: float = 0.1

    def __post_init__(self) -> None:
        _require(
            0 <= self.min_parallax < self.max_parallax,
            f'pairs.min_parallax {self.min_parallax} must be below pairs.max_parallax '
            f'{self.max_parallax}',
        )
        _require(
            0 <= self.min_translation_m < self.max_translation_m,
            f'pairs.min_translation_m {self.min_translation_m} must be below '
            f'pairs.max_translation_m {self.max_translation_m}',
        )
        _require(self.max_gap_frames >= 1, 'pairs.max_gap_frames must be 1 or more')
        _require(self.gap_ratio >= 1, f'pairs.gap_ratio {self.gap_ratio} must be 1 or more')
        _require(
            0 <= self.small_motion_share < 1,
            f'pairs.small_motion_share {self.small_motion_share} must be within 0 to 1',
        )


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes, one draw for all frames of a sample.

    Attributes:
        flip: probability of mirroring left to right.
        jitter: probability of changing colours.
        brightness, contrast, saturation: factors are drawn within 1 +- this.
        hue: shift is drawn within +- this [turns].
        zoom: largest zoom into a random window; 1: none. It shows other focal lengths.
    """

    flip: float = 0.5
    jitter: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.1
    zoom: float = 1.0

    def __post_init__(self) -> None:
        for name in ('flip', 'jitter'):
            value = getattr(self, name)
            _require(0 <= value <= 1, f'augment.{name} {value} must be within 0 to 1')
        _require(1 <= self.zoom <= 3, f'augment.zoom {self.zoom} must be within 1 to 3')


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; 0 leaves a term and its work out.

    Attributes:
        photometric: minimum reprojection with automask (Monodepth2).
        coarse: the photometric error on shrunk images beside it, without automask: widens the
            motions that can be learnt from (not in the paper).
        smoothness: edge-aware smoothness of disparity; halved with every scale.
        depth: against depth truth [m].
        motion: of the pose network against its teacher.
        teacher: whose motions those are.
        warp_by_teacher: synthesise views by the teacher's motions where they are known, not by
            the pose network's: depth does not wait for the pose network, and with odometry
            becomes metric without depth truth.
        motion_more_pairs: with odometry, teach motion on reversed and on the longer pairs too.
    """

    photometric: float = 1.0
    coarse: float = 0.0
    smoothness: float = 1e-3
    depth: float = 0.0
    motion: float = 0.0
    teacher: MotionTeacher = MotionTeacher.ODOMETRY
    warp_by_teacher: bool = False
    motion_more_pairs: bool = False

    def __post_init__(self) -> None:
        for name in ('photometric', 'coarse', 'smoothness', 'depth', 'motion'):
            value = getattr(self, name)
            _require(value >= 0, f'loss.{name} {value} must be 0 or more')
        _require(
            not self.warp_by_teacher or self.motion > 0,
            'loss.warp_by_teacher needs loss.motion above 0: the pose network would not learn',
        )
        _require(
            self.photometric > 0 or self.depth > 0 or self.motion > 0,
            'loss.photometric, loss.depth and loss.motion are all 0: nothing to learn from',
        )

    @property
    def uses_odometry(self) -> bool:
        """Whether motions of the bags are learnt from."""
        return self.motion > 0 and self.teacher is MotionTeacher.ODOMETRY

    @property
    def needs_neighbours(self) -> bool:
        """Whether more than the target frame is looked at."""
        return self.photometric > 0 or self.motion > 0

    @property
    def trains_depth(self) -> bool:
        """Whether any term reaches the depth network."""
        return self.photometric > 0 or self.depth > 0


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (Adam where weight_decay is 0).

    Attributes:
        lr: learning rate after warm-up.
        pose_lr: of the pose network; None: lr. Its answer is scaled by 0.01, so that the large
            rotations of a hand-held camera are reached sooner with a multiple of lr.
        weight_decay: decoupled weight decay.
        schedule: course of the learning rate.
        step_at: share of the run at which `step` multiplies the rate by step_factor.
        final_factor: where `cosine` ends, times lr.
        warmup_steps: steps of linear rise at the start.
        clip: largest gradient norm; None: no clipping.
        ema_decay: of the running mean of weights that is validated and exported; 0: none.
    """

    lr: float = 1e-4
    pose_lr: float | None = None
    weight_decay: float = 0.0
    schedule: Schedule = Schedule.COSINE
    step_at: float = 0.75
    step_factor: float = 0.1
    final_factor: float = 0.02
    warmup_steps: int = 0
    clip: float | None = None
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        _require(self.lr > 0, f'optimizer.lr {self.lr} must be above 0')
        _require(self.pose_rate > 0, f'optimizer.pose_lr {self.pose_lr} must be above 0')
        _require(
            0 <= self.ema_decay < 1, f'optimizer.ema_decay {self.ema_decay} must be in [0, 1)'
        )

    @property
    def pose_rate(self) -> float:
        """Learning rate of the pose network after warm-up."""
        return self.lr if self.pose_lr is None else self.pose_lr


@dataclass(frozen=True)
class RunConfig:
    """Length, speed and bookkeeping of the run.

    Attributes:
        seed: of weights, order and augmentation.
        batch_size: samples a step.
        epochs: passes, each ended by a validation.
        steps_per_epoch: None: as many as the frames fill once.
        precision: of the networks' activations.
        channels_last: memory format of the networks.
        device: 'auto', 'cpu' or 'cuda'.
        threads: of torch on the CPU; 0: torch's own choice.
        log_every: steps between log rows.
        checkpoint_every: steps between checkpoints that a resume starts from.
        monitor: what the best checkpoint goes by.
        early_stop_epochs: epochs without improvement that end the run; 0: never.
    """

    seed: int = 0
    batch_size: int = 8
    epochs: int = 20
    steps_per_epoch: int | None = None
    precision: ArithmeticPrecision = ArithmeticPrecision.FP32
    channels_last: bool = True
    device: str = 'auto'
    threads: int = 0
    log_every: int = 10
    checkpoint_every: int = 200
    monitor: Monitor = Monitor.LOSS
    early_stop_epochs: int = 0

    def __post_init__(self) -> None:
        for name in ('batch_size', 'epochs', 'log_every', 'checkpoint_every'):
            value = getattr(self, name)
            _require(value >= 1, f'run.{name} {value} must be 1 or more')
        _require(
            self.steps_per_epoch is None or self.steps_per_epoch >= 1,
            f'run.steps_per_epoch {self.steps_per_epoch} must be 1 or more',
        )
        _require(
            self.device in ('auto', 'cpu', 'cuda'),
            f'run.device is {self.device!r} (allowed: auto, cpu, cuda)',
        )


@dataclass(frozen=True)
class ExportConfig:
    """What becomes of the best checkpoint.

    Attributes:
        precision: of the graphs.
        licence: of the weights, as the model folder states it.
        odometry_scale: fit one factor to the odometry of the bags, where the model is up to
            scale and there is odometry, and fold it into the graphs.
        weights: keep the weights beside the graphs, so that the model can be fine-tuned.
        evaluate: measure the exported model on the validation frames.
    """

    precision: Precision = Precision.FP32
    licence: str = 'unknown'
    odometry_scale: bool = True
    weights: bool = True
    evaluate: bool = True


@dataclass(frozen=True)
class TrainConfig:
    """One run: sections as in the preset, see their classes."""

    name: str = 'custom'
    bags: tuple[BagSource, ...] = ()
    data: DataConfig = field(default_factory=DataConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    export: ExportConfig = field(default_factory=ExportConfig)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
