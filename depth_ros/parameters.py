"""Every parameter of the depth node: the one table from which all else is made.

The fields of NodeParameters are the table: name, type and default stand in the field, text,
bounds and whether it is read-only in its metadata. The node declares them from here, config/
depth.yaml lists them, and what rclpy delivers becomes a checked NodeParameters; no rclpy in here.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from depth_ros.backends import BackendKind, BackendOptions, CpuPrecision, Device, EngineOptions
from depth_ros.cameras.camera_names import check_names
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import DEFAULT_MODEL
from depth_ros.motion.egomotion import OdometrySettings, TurnSource
from depth_ros.motion.frame_links import plain_frame
from depth_ros.motion.mounting import base_T_camera
from depth_ros.parameter_entry import Meaning, TableEntry, Value
from depth_ros.pipeline import OutputSize, TrackSettings
from depth_ros.pipeline.estimate import LONGEST_SMOOTHING_S
from depth_ros.pipeline.ground_plane import down_of
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource

_POSE = 6
"""Numbers of the pose of one camera."""


class ImageTransport(enum.Enum):
    """Which topic images are taken from."""

    RAW = 'raw'
    COMPRESSED = 'compressed'


class Extrinsics(enum.Enum):
    """Where the position of the camera on the robot is taken from."""

    TF_STATIC = 'tf_static'
    PARAMETER = 'parameter'


def _meaning(
    text: str,
    lowest: float | None = None,
    highest: float | None = None,
    read_only: bool = False,
    loads: bool = False,
    each_camera: bool = False,
) -> dict[str, Meaning]:
    return {'meaning': Meaning(text, lowest, highest, read_only, loads, each_camera)}


@dataclass(frozen=True, kw_only=True)
class NodeParameters:
    """The parameters of the node, checked."""

    autostart: bool = field(
        default=True,
        metadata=_meaning(
            'Configure and activate without waiting for a lifecycle manager.', read_only=True
        ),
    )
    model: str = field(
        default=DEFAULT_MODEL,
        metadata=_meaning(
            'Model folder, or name of an installed model. A new one is loaded beside the '
            'running one and swapped in between two frames.',
            loads=True,
        ),
    )
    backend: BackendKind = field(
        default=BackendKind.AUTO, metadata=_meaning('Runtime that computes.', loads=True)
    )
    device: Device = field(
        default=Device.AUTO,
        metadata=_meaning(
            'What it computes on. Any but auto fails where it is missing.', loads=True
        ),
    )
    threads: int = field(
        default=0,
        metadata=_meaning(
            'CPU threads of one inference; 0: one for each physical core, as far as the quota of '
            'its container goes.',
            0,
            256,
            loads=True,
        ),
    )
    cpu_precision: CpuPrecision = field(
        default=CpuPrecision.FILE,
        metadata=_meaning(
            "Arithmetic of OpenVINO: file: that of the model's file; bf16: three digits, about "
            'twice as fast as fp32 on a CPU that has it.',
            loads=True,
        ),
    )
    engine_workspace: int = field(
        default=1024,
        metadata=_meaning(
            'Scratch memory on the GPU while TensorRT runs [MiB].', 16, 1048576, loads=True
        ),
    )
    engine_optimization_level: int = field(
        default=3,
        metadata=_meaning('TensorRT: 0 builds fastest, 5 tries most kernels.', 0, 5, loads=True),
    )
    engine_fp16: bool = field(
        default=False,
        metadata=_meaning(
            'TensorRT 10: build a single-precision model in half precision. Later ones and '
            'TensorRT-RTX want a model exported in fp16.',
            loads=True,
        ),
    )
    cameras: tuple[str, ...] = field(
        default=('',),
        metadata=_meaning(
            'Names of cameras that share the model; the topics of each stand below its name. One '
            'empty name: a single camera, whose topics stand by themselves.',
            read_only=True,
        ),
    )
    image_transport: ImageTransport = field(
        default=ImageTransport.RAW,
        metadata=_meaning('raw: topic image; compressed: topic image/compressed.', read_only=True),
    )
    rectify: RectifyMode = field(
        default=RectifyMode.AUTO,
        metadata=_meaning(
            'auto: undo lens distortion unless the topic is image_rect*; always; never: the '
            'images come rectified.'
        ),
    )
    allow_estimated_focal: bool = field(
        default=False,
        metadata=_meaning(
            'Take cameras whose camera_info has no calibration, or that nobody publishes any of, '
            'with the focal length that the model sees, where it tells the field of view; metres '
            'are as good as that guess.'
        ),
    )
    output_size: OutputSize = field(
        default=OutputSize.CAMERA,
        metadata=_meaning(
            'Size of depth and confidence. camera: of its image; network: of what it answers.'
        ),
    )
    scale_source: ScaleSource = field(
        default=ScaleSource.MODEL,
        metadata=_meaning(
            'Where metres come from: model, fixed (scale_factor), odometry (topic odometry), '
            'camera_height, or none: depth up to scale, which an up-to-scale model needs by name.'
        ),
    )
    scale_factor: float = field(
        default=1.0,
        metadata=_meaning('Metres to one unit of the model, for scale_source fixed.', 1e-6, 1e6),
    )
    camera_height: float = field(
        default=1.0,
        metadata=_meaning(
            'Camera above the ground [m], for scale_source camera_height. Its tilt is that in '
            'base_frame; without one the camera is taken for level, within 5 deg.',
            0.01,
            100.0,
        ),
    )
    min_confidence: float = field(
        default=0.0,
        metadata=_meaning(
            'Depth of less confidence becomes NaN, and waits for its motion; 0 keeps all.',
            0.0,
            1.0,
        ),
    )
    scale_smoothing: float = field(
        default=0.0,
        metadata=_meaning(
            'Depth and motion are brought to the mean scale of the last seconds, with this time '
            'constant [s]: steadier, but some percent smaller on the way ahead, the more the '
            'longer it is. Depth waits for its motion; needs a pose network. 0: each frame as it '
            'comes.',
            0.0,
            LONGEST_SMOOTHING_S,
        ),
    )
    point_stride: int = field(
        default=1, metadata=_meaning('points has every n-th pixel of every n-th row.', 1, 64)
    )
    refine_motion: bool = field(
        default=True,
        metadata=_meaning(
            'Make the motions of the pose network exact by features tracked between frames.'
        ),
    )
    turn_source: TurnSource = field(
        default=TurnSource.FEATURES,
        metadata=_meaning(
            'What tells how the camera turns: features, or odometry (the topic), whose gyroscope '
            'knows better, unless it knows nothing of pitch and roll.'
        ),
    )
    odom_frame: str = field(
        default='odom',
        metadata=_meaning(
            'Frame in which odom gives the pose; below the name of each of several cameras.'
        ),
    )
    base_frame: str = field(
        default='',
        metadata=_meaning(
            'Frame of the robot whose pose odom gives. Empty: the camera itself in body axes '
            '(x forward), named after its frame without _optical.'
        ),
    )
    extrinsics: Extrinsics = field(
        default=Extrinsics.TF_STATIC,
        metadata=_meaning(
            'Where the camera sits in base_frame: from /tf_static, or camera_in_base, which needs '
            'a base_frame, known to tf or not.'
        ),
    )
    camera_in_base: tuple[float, ...] = field(
        default=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        metadata=_meaning(
            'x, y, z [m], roll, pitch, yaw [rad] of the camera (x forward, z up) in base_frame, '
            'for extrinsics parameter; of each of several cameras, one after the other.',
            each_camera=True,
        ),
    )
    publish_tf: bool = field(
        default=False,
        metadata=_meaning(
            'Broadcast odom_frame to base_frame on /tf, unless /tf_static has a frame above that; '
            'needs tf2_msgs. Where several cameras have one base_frame, the first one tells its '
            'place.'
        ),
    )
    image_timeout: float = field(
        default=3.0,
        metadata=_meaning(
            'Seconds without an image after which diagnostics complain.', 0.1, 3600.0
        ),
    )

    def __post_init__(self) -> None:
        """Refuse values that do not fit together.

        Raises:
            ConfigError: names of cameras that cannot stand in topics or are not different; an
                odom_frame or base_frame that names no frame, or both the same; where parameters
                tell the places of cameras, no frame that these are told in, or not six numbers
                for each.
        """
        check_names(self.cameras)
        if not plain_frame(self.odom_frame):
            raise ConfigError(
                f'parameter odom_frame is {self.odom_frame!r}, which names no frame; allowed: a '
                "name such as 'odom'"
            )
        if self.base_frame and not plain_frame(self.base_frame):
            raise ConfigError(
                f'parameter base_frame is {self.base_frame!r}, which names no frame; allowed: a '
                "name such as 'base_link', or '' for the camera itself"
            )
        odom_frames = [plain_frame(self.odom_frame_of(camera)) for camera in self.cameras]
        if plain_frame(self.base_frame) in odom_frames:
            raise ConfigError(
                f'parameter base_frame is {self.base_frame!r}, in which odom gives its pose; name '
                'another one, or set odom_frame'
            )
        if self.extrinsics is Extrinsics.PARAMETER and not self.base_frame:
            raise ConfigError(
                "parameter extrinsics is 'parameter' while base_frame is '': camera_in_base has "
                'no frame to be in; name it, such as base_frame: base_link, or set extrinsics to '
                'tf_static'
            )
        numbers, needed = len(self.camera_in_base), _POSE * len(self.cameras)
        if self.extrinsics is Extrinsics.PARAMETER and numbers != needed:
            raise ConfigError(
                f'parameter camera_in_base has {numbers} numbers; extrinsics parameter needs '
                f'{_POSE} for each camera, {needed} in all'
            )

    @property
    def backend_options(self) -> BackendOptions:
        """How the model is to be run."""
        return BackendOptions(
            kind=self.backend,
            device=self.device,
            threads=self.threads,
            cpu_precision=self.cpu_precision,
            engine=EngineOptions(
                workspace_mib=self.engine_workspace,
                optimization_level=self.engine_optimization_level,
                max_batch=len(self.cameras),
                fp16=self.engine_fp16,
            ),
        )

    def base_T_camera(self, camera: str) -> np.ndarray:
        """[4,4] of a camera's optical frame in base_frame, where the parameter tells it."""
        first = _POSE * self.cameras.index(camera)
        return base_T_camera(self.camera_in_base[first : first + _POSE])

    def odom_frame_of(self, camera: str) -> str:
        """The frame of a camera's odometry, which begins where the camera then is."""
        return f'{camera}/{self.odom_frame}' if camera else self.odom_frame

    @property
    def needs_odometry(self) -> bool:
        """Whether the robot's own odometry is listened to."""
        return (self.scale_source is ScaleSource.ODOMETRY
                or self.turn_source is TurnSource.ODOMETRY)

    def track_settings(self, camera: str = '') -> TrackSettings:
        """How frames of a camera become depth in metres."""
        down = None  # the tilt is not known, or /tf_static will tell it
        if self.extrinsics is Extrinsics.PARAMETER:
            down = down_of(self.base_T_camera(camera))
        scale = ScaleSettings(
            source=self.scale_source,
            factor=self.scale_factor,
            camera_height_m=self.camera_height,
            down=down,
        )
        return TrackSettings(
            output_size=self.output_size,
            scale=scale,
            odometry=OdometrySettings(refine=self.refine_motion, turns=self.turn_source),
            min_confidence=self.min_confidence,
            scale_smoothing_s=self.scale_smoothing,
        )

    def differing(self, other: NodeParameters) -> set[str]:
        """Names of parameters that have another value there."""
        return {e.name for e in TABLE if getattr(self, e.name) != getattr(other, e.name)}

    def changed(self, values: Mapping[str, Value]) -> NodeParameters:
        """These parameters with some set anew.

        Raises:
            ConfigError: unknown name, wrong type, or a value out of bounds.
        """
        table = {entry.name: entry for entry in TABLE}
        for name in values:
            if name not in table:
                raise ConfigError(f'no parameter {name!r} (there are: {", ".join(table)})')
        read = {name: table[name].read(value) for name, value in values.items()}
        return dataclasses.replace(self, **read)


TABLE: tuple[TableEntry, ...] = tuple(
    TableEntry(row.name, row.default, row.metadata['meaning'])
    for row in dataclasses.fields(NodeParameters)
)
"""All parameters, in the order in which the documentation lists them."""
