"""Depth truth from a LiDAR: its points, seen by the camera.

A LiDAR stands beside the camera and sees past things that hide from the camera what lies behind
them: those points would land on the thing in front with the depth of what is behind. A point is
dropped where clearly nearer points lie close by on two opposite sides, above and below or left
and right: it is seen through a surface. This is a screen-space visibility test as that of Pintus,
Gobbetti and Agus, "Real-time rendering of massive unstructured raw point clouds using
screen-space operators", VAST 2011, reduced to four directions. Nearer points on one side alone
do not hide it: so is the road that comes towards the camera, and the wall beside a pole.

The motion of the robot during a sweep is left uncompensated: points stand where the LiDAR saw
them, up to a sweep (0.1 s) before or after the picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError

_SLENDERNESS = 4
"""The window of a direction is this many times longer than it is wide to either side, so that it
does not reach round the corner of what stands beside."""


@dataclass(frozen=True)
class OcclusionRule:
    """When nearer points hide one.

    Attributes:
        reach_deg: how far around a point nearer ones are looked for, as an angle; more than the
            gap between the LiDAR's beams.
        margin: share of a point's depth by which others are clearly nearer.
    """

    reach_deg: float = 1.0
    margin: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what hides nothing or everything.

        Raises:
            ConfigError: naming the value.
        """
        if not 0.0 < self.reach_deg <= 45.0:
            raise ConfigError(
                f'occlusion reach is {self.reach_deg} degrees, allowed: above 0 to 45'
            )
        if not 0.0 < self.margin < 1.0:
            raise ConfigError(f'occlusion margin is {self.margin}, allowed: between 0 and 1')


def lidar_depth(
    points_cam: np.ndarray, intrinsics: Intrinsics, rule: OcclusionRule
) -> np.ndarray:
    """Sparse depth of points in the optical frame.

    Args:
        points_cam: floats [N,3] in metres; points that are not finite are ignored.
        intrinsics: of the rectified image.
        rule: which points hide others.

    Returns:
        float32 [height,width], z of the nearest point in each pixel; NaN where there is none or
        it is hidden.
    """
    depth_m = nearest_depth(points_cam, intrinsics)
    depth_m[hidden(depth_m, intrinsics, rule)] = np.nan
    return depth_m


def nearest_depth(points_cam: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """As lidar_depth, hidden points included."""
    depth_m = np.full((intrinsics.height, intrinsics.width), np.nan, np.float32)
    x, y, z = np.moveaxis(points_cam[points_cam[:, 2] > 0.0], -1, 0)
    with np.errstate(over='ignore', invalid='ignore'):
        u = np.floor(intrinsics.fx * x / z + intrinsics.cx + 0.5)
        v = np.floor(intrinsics.fy * y / z + intrinsics.cy + 0.5)
    seen = (u >= 0) & (u < intrinsics.width) & (v >= 0) & (v < intrinsics.height) & np.isfinite(z)
    u, v, z = u[seen].astype(np.intp), v[seen].astype(np.intp), z[seen]
    # Of values assigned to one pixel the last remains: the nearest.
    order = np.argsort(-z, kind='stable')
    depth_m[v[order], u[order]] = z[order]
    return depth_m


def hidden(depth_m: np.ndarray, intrinsics: Intrinsics, rule: OcclusionRule) -> np.ndarray:
    """Where a sparse depth map [H,W] shows what nearer points hide, bool [H,W]."""
    tangent = math.tan(math.radians(rule.reach_deg))
    along_v = max(1, round(intrinsics.fy * tangent))
    along_u = max(1, round(intrinsics.fx * tangent))
    filled = np.where(np.isnan(depth_m), np.float32(np.inf), depth_m)
    limit = (1.0 - rule.margin) * filled
    above, below = _nearest_both_ways(filled, along_v, along_u // _SLENDERNESS)
    left, right = (
        side.T for side in _nearest_both_ways(filled.T, along_u, along_v // _SLENDERNESS)
    )
    between = ((above < limit) & (below < limit)) | ((left < limit) & (right < limit))
    return between & np.isfinite(filled)


def _nearest_both_ways(
    depth_m: np.ndarray, reach: int, aside: int
) -> tuple[np.ndarray, np.ndarray]:
    """Least value in the `reach` rows before each pixel's and in those after it.

    In both, `aside` columns to either side count too; infinity where there is none.
    """
    height, width = depth_m.shape
    padded = np.full((height + 2 * reach, width), np.inf, np.float32)
    padded[reach : reach + height] = depth_m
    window = np.ones((reach, 2 * aside + 1), np.uint8)
    # The anchor on the first row: the least of this row and the reach - 1 rows after it.
    least = cv2.erode(padded, window, anchor=(aside, 0))
    return least[:height], least[reach + 1 : reach + 1 + height]
