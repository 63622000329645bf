"""What to evaluate on, and under which rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from depth_ros.bags import Selection
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import ConfigError
from depth_ros.evaluation.lidar import OcclusionRule
from depth_ros.evaluation.protocol import DepthProtocol
from depth_ros.motion.egomotion import OdometrySettings, TurnSource
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource


@dataclass(frozen=True)
class LidarTruth:
    """How a LiDAR's points become true depth.

    Attributes:
        topic: of sensor_msgs/PointCloud2; None: the only one of the bag, where that has no depth
            images.
        in_camera: x, y, z [m], roll, pitch, yaw [rad] of the LiDAR in the camera's body axes
            (x forward, y left, z up); None: by /tf_static and /tf.
        occlusion: which points the camera does not see.
        tolerance_s: a cloud this close in time belongs to a frame; half a sweep at 10 Hz.
    """

    topic: str | None = None
    in_camera: tuple[float, ...] | None = None
    occlusion: OcclusionRule = field(default_factory=OcclusionRule)
    tolerance_s: float = 0.05

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ConfigError: naming the value.
        """
        if self.in_camera is not None and len(self.in_camera) != 6:
            raise ConfigError(
                f'LiDAR in camera has {len(self.in_camera)} values, not 6: '
                'x y z [m] roll pitch yaw [rad]'
            )
        if not 0.0 <= self.tolerance_s <= 10.0:
            raise ConfigError(f'LiDAR tolerance is {self.tolerance_s} s, allowed: 0 to 10')


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate on. Topics that are None are found, where there is one choice."""

    bag: Path
    selection: Selection
    training: Selection | None = None
    """Frames of the bag whose depth the guesses know, none of the selection; None: no frames."""
    training_bags: tuple[Path, ...] = ()
    """Other bags, with topics of the same names, whose depth the guesses know."""
    protocol: DepthProtocol = field(default_factory=DepthProtocol)
    rectify: RectifyMode = RectifyMode.AUTO
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    lidar: LidarTruth = field(default_factory=LidarTruth)
    odometry_topic: str | None = None
    mask_topic: str | None = None
    """Foreground masks of the rectified image; None: mask recall is not asked for."""
    scale: ScaleSettings | None = None
    """Where metres come from; None: the model where it is metric, else nothing."""
    scale_odometry_topic: str | None = None
    """Scale or turns by ODOMETRY: the measured one; None: the true path, other odometry or not."""
    scale_smoothing_s: float = 0.0
    """See TrackSettings."""
    samples: int = 6
    """Frames kept to look at."""
    allow_estimated_focal: bool = False
    """Whether a camera without calibration has the focal length that the model sees."""
    odometry: OdometrySettings = field(default_factory=OdometrySettings)
    """How motions are found."""

    @property
    def needs_odometry(self) -> bool:
        """Whether metres or turns come from odometry."""
        by_scale = self.scale is not None and self.scale.source is ScaleSource.ODOMETRY
        return by_scale or self.odometry.turns is TurnSource.ODOMETRY

    def __post_init__(self) -> None:
        """Refuse two truths at once, and guesses that know what is judged.

        Raises:
            ConfigError: both depth images and a LiDAR are named, the bag is among those that the
                guesses know, or frames of the selection are.
        """
        if self.bag.resolve() in (bag.resolve() for bag in self.training_bags):
            raise ConfigError(f'{self.bag} is evaluated and cannot be a training bag as well; its '
                              'own training frames are named by their numbers')
        if self.depth_topic is not None and self.lidar.topic is not None:
            raise ConfigError(
                f'true depth is either the images {self.depth_topic} or the LiDAR '
                f'{self.lidar.topic}, not both'
            )
        if self.training is not None:
            common = self.selection.common(self.training)
            if common is not None and not common.needs_stamps:
                raise overlap_error(self.bag, self.selection, self.training)


def overlap_error(bag: Path, judged: Selection, training: Selection) -> ConfigError:
    """What to raise where frames that are judged are known to the guesses."""
    return ConfigError(f'{bag}: judged are {judged.text}, and the guesses know {training.text}: '
                       'no frame may be in both')
