"""How the camera of the published models moves: on a car, through KITTI."""

from depth_ros.model_folder.spec import MotionSpec

# A model without stereo has a unit of its own; this is the ratio that median scaling finds for
# Monodepth2's published ones, whose losses and depth range FeatDepth shares.
_METRES_PER_MONO_UNIT = 30.0


def kitti_motion(metric: bool) -> MotionSpec:
    """Motions between frames at 10 Hz, about a metre, in metres or else in a mono model's unit.

    The errors are rough: 0.016 m in a snippet of five frames (Monodepth2's table 11, FeatDepth's
    is alike) and room above it.
    """
    return MotionSpec(
        interval_s=0.1,
        translation=1.0 if metric else 1.0 / _METRES_PER_MONO_UNIT,
        rotation_rad=0.02,
        sigma_translation=0.05,
        sigma_rotation_rad=0.003,
    )
