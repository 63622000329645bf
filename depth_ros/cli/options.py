"""Command-line options that several verbs share."""

from __future__ import annotations

import argparse
import math
import sys

from depth_ros.backends import (
    BackendKind,
    BackendOptions,
    CpuPrecision,
    Device,
    EngineOptions,
)
from depth_ros.bags import Selection
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.progress import PrintedLoading
from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model
from depth_ros.motion.egomotion import OdometrySettings, TurnSource
from depth_ros.motion.mounting import base_T_camera
from depth_ros.pipeline import DepthPipeline
from depth_ros.pipeline.ground_plane import down_of
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add which model to run and what to run it on."""
    group = parser.add_argument_group('model')
    group.add_argument('--model', default=DEFAULT_MODEL, metavar='FOLDER|NAME',
                       help='model folder, or a name that `depth_ros models` lists '
                            '(default: %(default)s)')
    group.add_argument('--backend', choices=[kind.value for kind in BackendKind],
                       default=BackendKind.AUTO.value, help='runtime (default: %(default)s)')
    group.add_argument('--device', choices=[device.value for device in Device],
                       default=Device.AUTO.value,
                       help='processor; any but auto fails where it is missing '
                            '(default: %(default)s)')
    group.add_argument('--threads', type=int, default=0, metavar='N',
                       help='CPU threads; 0: one for each physical core, as far as the quota '
                            'of its container goes (default: %(default)s)')
    group.add_argument('--cpu-precision', choices=[one.value for one in CpuPrecision],
                       default=CpuPrecision.FILE.value,
                       help="arithmetic of OpenVINO: the model file's, or bf16 where the CPU has "
                            'it (default: %(default)s)')
    add_engine_options(group)


def add_engine_options(parser: argparse._ActionsContainer) -> None:
    """Add how TensorRT builds engines."""
    plain = EngineOptions()
    parser.add_argument('--engine-workspace', type=int, default=plain.workspace_mib,
                        metavar='MIB', help='TensorRT: scratch memory on the GPU (default: '
                                            '%(default)s)')
    parser.add_argument('--engine-optimization-level', type=int, metavar='N',
                        default=plain.optimization_level,
                        help='TensorRT: 0 builds fastest, 5 tries most kernels (default: '
                             '%(default)s)')
    parser.add_argument('--engine-fp16', action='store_true',
                        help='TensorRT 10: build a single-precision model in half precision')


def engine_options_of(args: argparse.Namespace) -> EngineOptions:
    """Return what the options of add_engine_options say.

    Raises:
        BackendError: a value is out of bounds.
    """
    return EngineOptions(
        workspace_mib=args.engine_workspace,
        optimization_level=args.engine_optimization_level,
        fp16=args.engine_fp16,
    )


def add_motion_option(parser: argparse.ArgumentParser) -> None:
    """Add how egomotion is found."""
    parser.add_argument('--network-motion', action='store_true',
                        help="take the pose network's motions as they are, where by default "
                             'features tracked between frames make them exact')
    parser.add_argument('--turn-source', choices=[source.value for source in TurnSource],
                        default=TurnSource.FEATURES.value,
                        help='what tells how the camera turns: features, or odometry of the bag '
                             '(see --scale-odometry), which knows pitch and roll too (default: '
                             '%(default)s)')


def odometry_settings_of(args: argparse.Namespace) -> OdometrySettings:
    """What the options of add_motion_option say."""
    return OdometrySettings(refine=not args.network_motion, turns=TurnSource(args.turn_source))


def add_focal_option(parser: argparse._ActionsContainer) -> None:
    """Add whether uncalibrated cameras are taken."""
    parser.add_argument('--allow-estimated-focal', action='store_true',
                        help='of cameras without calibration: take the focal length that the '
                             'model sees, where it tells the field of view; metres are as good '
                             'as that guess')


def open_pipeline(args: argparse.Namespace) -> DepthPipeline:
    """Open what the options of add_model_options name.

    Raises:
        ModelError, BackendError: it cannot be opened.
    """
    return open_model(args.model, args)


def open_model(
    model: str, args: argparse.Namespace, *, blend_mirrored: bool = False
) -> DepthPipeline:
    """Open a model folder or name on what the options of add_model_options say.

    Raises:
        ModelError, BackendError: it cannot be opened.
    """
    options = BackendOptions(
        BackendKind(args.backend),
        Device(args.device),
        args.threads,
        CpuPrecision(args.cpu_precision),
        engine_options_of(args),
    )
    pipeline = DepthPipeline.open(
        Model.load(model), options, blend_mirrored=blend_mirrored, loading=PrintedLoading()
    )
    if pipeline.caveat:
        print(f'warning: {pipeline.caveat}', file=sys.stderr)
    return pipeline


def add_topic_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add which camera of a bag to read; returns the group for further topics."""
    group = parser.add_argument_group('topics (found where there is one choice)')
    group.add_argument('--image', metavar='TOPIC', help='images, raw or compressed')
    group.add_argument('--camera-info', metavar='TOPIC', help='their sensor_msgs/CameraInfo')
    group.add_argument('--rectify', choices=[mode.value for mode in RectifyMode],
                       default=RectifyMode.AUTO.value,
                       help='auto takes image_rect* topics as rectified (default: %(default)s)')
    return group


def add_selection_options(parser: argparse.ArgumentParser) -> None:
    """Add which frames of a bag to use."""
    group = parser.add_argument_group('frames (default: all)')
    group.add_argument('--first', type=int, metavar='N', help='start with frame N, counted from 0')
    group.add_argument('--last', type=int, metavar='N', help='stop before frame N')
    group.add_argument('--from', type=float, dest='from_s', metavar='S',
                       help='start S seconds after the first image')
    group.add_argument('--to', type=float, dest='to_s', metavar='S',
                       help='stop S seconds after the first image')


def selection_of(args: argparse.Namespace) -> Selection:
    """Return what the options of add_selection_options select.

    Raises:
        ConfigError: nothing can be in it.
    """
    return Selection(args.first or 0, args.last, args.from_s, args.to_s)


def add_scale_options(
    parser: argparse.ArgumentParser, default: ScaleSource | None = ScaleSource.MODEL
) -> None:
    """Add where metres come from; default None: the model where it is metric, else nothing."""
    group, plain = parser.add_argument_group('scale'), ScaleSettings()
    told = 'model, or none where that has no metres' if default is None else default.value
    group.add_argument('--scale-source', '--scale', dest='scale_source',
                       choices=[source.value for source in ScaleSource],
                       default=None if default is None else default.value,
                       help="where metres come from; none leaves the model's own unit "
                            f'(default: {told})')
    group.add_argument('--scale-factor', type=float, metavar='M',
                       help='--scale-source fixed: metres per unit of the model (default: '
                            f'{plain.factor})')
    group.add_argument('--camera-height', type=float, metavar='M',
                       help='--scale-source camera_height: metres above the ground (default: '
                            f'{plain.camera_height_m})')
    group.add_argument('--camera-pitch', type=float, metavar='DEG',
                       help='--scale-source camera_height: how far it looks down; off by more '
                            'than 5 degrees, no ground is found (default: taken for level)')
    group.add_argument('--scale-odometry', metavar='TOPIC',
                       help='--scale-source or --turn-source odometry: nav_msgs/Odometry '
                            '(default: the only one; of evaluate the true path)')
    group.add_argument('--scale-smoothing', type=float, default=0.0, metavar='SECONDS',
                       help='bring depth to the mean scale of the last seconds, with this time '
                            'constant; needs a pose network (default: each frame as it comes)')


def scale_settings_of(args: argparse.Namespace) -> ScaleSettings | None:
    """Return what the options of add_scale_options say; None: what fits the model.

    Raises:
        ConfigError: a value is not positive, an angle is none, or an option is given without the
            source that it belongs to.
    """
    _refuse_other_sources(args)
    if args.scale_source is None:
        return None
    down = None
    if args.camera_pitch is not None:
        if not -90.0 <= args.camera_pitch <= 90.0:
            raise ConfigError(f'--camera-pitch is {args.camera_pitch}, allowed: -90 to 90 degrees')
        pitch_rad = math.radians(args.camera_pitch)
        down = down_of(base_T_camera((0.0, 0.0, 0.0, 0.0, pitch_rad, 0.0)))
    plain = ScaleSettings()
    factor, height_m = args.scale_factor, args.camera_height
    return ScaleSettings(
        source=ScaleSource(args.scale_source),
        factor=plain.factor if factor is None else factor,
        camera_height_m=plain.camera_height_m if height_m is None else height_m,
        down=down,
    )


def _refuse_other_sources(args: argparse.Namespace) -> None:
    """Refuse options of a source of metres that is not the one asked for."""
    for option, value, source in (
        ('--scale-factor', args.scale_factor, ScaleSource.FIXED),
        ('--camera-height', args.camera_height, ScaleSource.CAMERA_HEIGHT),
        ('--camera-pitch', args.camera_pitch, ScaleSource.CAMERA_HEIGHT),
    ):
        if value is not None and args.scale_source != source.value:
            named = 'is not given' if args.scale_source is None else f'is {args.scale_source}'
            raise ConfigError(f'{option} {value} needs --scale-source {source.value}, but that '
                              f'{named}')
    by_odometry = (args.scale_source == ScaleSource.ODOMETRY.value
                   or args.turn_source == TurnSource.ODOMETRY.value)
    if args.scale_odometry is not None and not by_odometry:
        raise ConfigError(f'--scale-odometry {args.scale_odometry} needs --scale-source odometry '
                          'or --turn-source odometry')
