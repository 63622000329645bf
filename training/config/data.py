"""Which bags, how their frames are seen, and which neighbours belong to them."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path

from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.model_folder.spec import Fit, ResizeFilter
from training.config.require import require


class MotionMeasure(enum.Enum):
    """How the motion between two frames is measured when neighbours are chosen."""

    FLOW = 'flow'
    """Parallax in the images, what optical flow leaves after the best rotation: no truth used."""
    POSE = 'pose'
    """Translation by the bag's odometry [m]."""


class BagTruth(enum.Enum):
    """What the depth images of a bag are."""

    MEASURED = 'measured'
    """Metres by a sensor: with holes and gross outliers, and not exact at edges."""
    RENDERED = 'rendered'
    """Metres, exact everywhere."""
    MEASURED_RELATIVE = 'measured-relative'
    """Up to a scale and a shift of inverse depth, as from images alone."""
    RENDERED_RELATIVE = 'rendered-relative'

    @property
    def is_metric(self) -> bool:
        """Whether it is in metres."""
        return self in METRIC_TRUTHS


METRIC_TRUTHS = frozenset({BagTruth.MEASURED, BagTruth.RENDERED})


@dataclass(frozen=True)
class BagSource:
    """One bag, or a part of it.

    Attributes:
        path: bag folder or file.
        first: index of the first image used.
        last: index after the last image used; None: to the end.
        weight: how often its frames are drawn, against 1 for other bags.
        image_topic, camera_info_topic, depth_topic, odometry_topic: None: found in the bag.
        stereo_image_topic, stereo_camera_info_topic: the other camera of a rectified pair, left
            or right, for loss.stereo; None: found in the bag.
        velocity_topic: odometry, twist or poses for loss.velocity; None: the odometry topic
            where one is given, else found in the bag.
        truth: what its depth images are; asked by methods that treat truths differently.
    """

    path: Path
    first: int = 0
    last: int | None = None
    weight: float = 1.0
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    odometry_topic: str | None = None
    stereo_image_topic: str | None = None
    stereo_camera_info_topic: str | None = None
    velocity_topic: str | None = None
    truth: BagTruth = BagTruth.MEASURED

    def __post_init__(self) -> None:
        require(self.first >= 0, f'first frame {self.first} must be 0 or more')
        require(
            self.last is None or self.last > self.first,
            f'last frame {self.last} must be above the first, {self.first}',
        )
        require(self.weight > 0, f'bag weight {self.weight} must be above 0')


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
            require(
                size > 0 and size % 32 == 0, f'data.{name} {size} must be a multiple of 32'
            )
        require(
            0 <= self.validation_share < 0.9,
            f'data.validation_share {self.validation_share} must be within 0 to 0.9',
        )
        require(self.validation_blocks >= 1, 'data.validation_blocks must be 1 or more')
        require(
            self.focal is None or self.focal > 0,
            f'data.focal {self.focal} must be above 0, or null for that of the first bag',
        )
        require(self.workers >= 0, f'data.workers {self.workers} must be 0 or more')


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
        require(
            0 <= self.min_parallax < self.max_parallax,
            f'pairs.min_parallax {self.min_parallax} must be below pairs.max_parallax '
            f'{self.max_parallax}',
        )
        require(
            0 <= self.min_translation_m < self.max_translation_m,
            f'pairs.min_translation_m {self.min_translation_m} must be below '
            f'pairs.max_translation_m {self.max_translation_m}',
        )
        require(self.max_gap_frames >= 1, 'pairs.max_gap_frames must be 1 or more')
        require(self.gap_ratio >= 1, f'pairs.gap_ratio {self.gap_ratio} must be 1 or more')
        require(
            0 <= self.small_motion_share < 1,
            f'pairs.small_motion_share {self.small_motion_share} must be within 0 to 1',
        )
