"""Makes the motion between two frames exact with features that are seen in both.

A pose network answers from two whole images at once and errs by a share of every motion. Corners
of the current frame, lifted to points by its depth and tracked into the keyframe, fix the same
motion to a fraction of a pixel; the network's answer is where the search begins, and what stays
where too few corners agree: in the dark, on plain walls, behind motion blur.

The unit of the translation is that of the depth, so both stay consistent. Sources: Shi and Tomasi,
Good Features to Track, CVPR 1994; Bouguet's pyramidal Lucas-Kanade tracker; perspective-n-point
inside RANSAC (Fischler and Bolles, 1981), all as OpenCV has them. What RANSAC finds is adjusted
with the depths' own uncertainty taken into account.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.motion import se3

_CORNERS = 400
_QUALITY = 0.001
_MIN_DISTANCE_PX = 5
_WINDOW = (13, 13)
_LEVELS = 4
_ROUND_TRIP_PX = 0.5
"""A corner tracked there and back must return this close."""
_SEARCH_PX = 3.0
_ITERATIONS = 100
_STEPS = 10
_CONVERGED = 1e-5
"""Radians and metres, or whatever the unit of depth is: thousandths of a pixel."""
_TRACKING_SIGMA_PX = 0.3
DEPTH_SIGMA = 0.15
"""Of predicted depth, relative."""
_CAUCHY = 2.0
"""Standard deviations at which an observation has half its weight."""
_INLIER_SIGMAS = 3.0
_FEWEST_INLIERS = 16
_TURN_SIGMA_RAD, _TURN_SIGMA_SHARE = 3e-4, 1e-3
"""Of a turn that is known: what a gyroscope is off by over a second or less."""
_LEAST_SHARE = 0.4
"""Of the tracked corners; below, most of the picture moves otherwise than the world does."""

_NEAREST = 0.05
"""Of its depth before, as far must a point still be in front of the other camera."""
_NO_DISTORTION = np.zeros(4)
_INFLATION = 2.0
"""Standard deviations are this much larger than independent errors would make them: corners of one
object share the errors of its depth."""


@dataclass(frozen=True)
class RefinedMotion:
    """What tracked features tell."""

    motion: np.ndarray
    """[6] axis-angle [rad] and translation in the unit of depth, previous_T_current."""
    covariance: np.ndarray
    """[6,6] of (translation, rotation vector) along the previous camera's axes, same units."""


class MotionRefiner:
    """Refines motions between frames of one camera, on the pixels of the network's input."""

    def __init__(
        self,
        intrinsics: Intrinsics,
        window: tuple[slice, slice],
        depth_sigma: float = DEPTH_SIGMA,
    ) -> None:
        """Prepare for frames described by `intrinsics`.

        Args:
            intrinsics: of the network's input.
            window: rows and columns of it that show the camera's image; the rest is padding.
            depth_sigma: standard deviation of the depths, relative.
        """
        self._K = intrinsics.matrix
        self._depth_sigma = depth_sigma
        self._mask = np.zeros((intrinsics.height, intrinsics.width), np.uint8)
        self._mask[window] = 255

    def __call__(
        self,
        previous: np.ndarray,
        current: np.ndarray,
        depth: np.ndarray,
        motion: np.ndarray,
        turn: np.ndarray | None = None,
    ) -> RefinedMotion | None:
        """The refined motion; None where the frames do not tell better than what came in.

        Args:
            previous: keyframe, uint8 [H,W,3] RGB.
            current: current frame, likewise.
            depth: of the current frame, float32 [h,w] over the same field of view.
            motion: [6] axis-angle [rad] and translation in the unit of depth,
                previous_T_current.
            turn: [3,3] previous_R_current as others know it; where no motion with that turn
                explains what is seen, features alone tell it.
        """
        grey = cv2.cvtColor(current, cv2.COLOR_RGB2GRAY)
        tracked = track_corners(grey, cv2.cvtColor(previous, cv2.COLOR_RGB2GRAY), self._mask)
        if tracked is None:
            return None
        pixels, found = tracked
        points = self._points(pixels, depth)
        known = np.isfinite(points).all(axis=1)
        if known.sum() < _FEWEST_INLIERS:
            return None
        points, found = points[known], found[known]
        refined = None if turn is None else self._solve(points, found, motion, turn)
        return self._solve(points, found, motion) if refined is None else refined

    def _points(self, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Pixels [n,2] of the network's input as points [n,3] of the current camera."""
        rows, columns = depth.shape
        height, width = self._mask.shape
        u = ((pixels[:, 0] + 0.5) * columns / width).astype(int).clip(0, columns - 1)
        v = ((pixels[:, 1] + 0.5) * rows / height).astype(int).clip(0, rows - 1)
        z = depth[v, u].astype(np.float64)
        focal, centre = self._K[[0, 1], [0, 1]], self._K[:2, 2]
        return np.column_stack([(pixels - centre) / focal * z[:, None], z])

    def _solve(
        self,
        points: np.ndarray,
        found: np.ndarray,
        motion: np.ndarray,
        turn: np.ndarray | None = None,
    ) -> RefinedMotion | None:
        """Points of the current camera and where the previous one sees them, to a motion."""
        # RANSAC draws from OpenCV's generator; the same frames must give the same answer.
        cv2.setRNGSeed(0)
        done, rotation, translation, _ = cv2.solvePnPRansac(
            points, found, self._K, _NO_DISTORTION,
            rvec=motion[:3, None].astype(np.float64), tvec=motion[3:, None].astype(np.float64),
            useExtrinsicGuess=True, iterationsCount=_ITERATIONS, reprojectionError=_SEARCH_PX,
            flags=cv2.SOLVEPNP_ITERATIVE,
        )  # fmt: skip
        found_start = np.concatenate([rotation[:, 0], translation[:, 0]])
        start = found_start if done and np.isfinite(found_start).all() else motion
        refined, distances = self._adjust(points, found, start, turn)
        inliers = int((distances < _INLIER_SIGMAS).sum())
        if inliers < max(_FEWEST_INLIERS, _LEAST_SHARE * len(points)):
            return None
        numbers = np.concatenate([refined.motion, refined.covariance.ravel()])
        return refined if np.isfinite(numbers).all() else None

    def _adjust(
        self,
        points: np.ndarray,
        found: np.ndarray,
        start: np.ndarray,
        turn: np.ndarray | None = None,
    ) -> tuple[RefinedMotion, np.ndarray]:
        """Gauss-Newton over all observations, each as certain as its direction allows.

        An error of a point's depth moves its image along the epipolar line and nowhere else: there
        an observation counts as far as the depth is believed, across it in full. Near points and
        wrong depths so cannot bend the rotation and the direction of travel. A known turn is one
        observation more.

        Returns:
            the motion, and the distance of every observation from it in standard deviations [n].
        """
        T = se3.motion_to_matrix(start)
        rotation, translation = T[:3, :3], T[:3, 3]
        distances, normal = np.full(len(points), np.inf), np.eye(6)
        sigma = 0.0
        if turn is not None:
            rotation = turn
            sigma = _TURN_SIGMA_RAD + _TURN_SIGMA_SHARE * se3.rotation_angle(turn)
        for _ in range(_STEPS):
            residual, jacobian, along, front = self._linearised(
                points, found, rotation, translation
            )
            # Inverse covariances of image points, (s^2 I + a a^T)^-1 with s the tracker's error
            # and a `along`, are (I - u u^T) / s^2. Close to the camera a is so long that the
            # covariance itself cannot be inverted as it stands.
            variance = _TRACKING_SIGMA_PX**2
            u = along / np.sqrt(variance + (along**2).sum(axis=1))[:, None]
            missed_along = (u * residual).sum(axis=1)
            squares = ((residual**2).sum(axis=1) - missed_along**2) / variance
            squares[~front] = np.inf
            distances = np.sqrt(squares)
            weight = np.sqrt(1.0 / (variance * (1.0 + squares / _CAUCHY**2)))
            whole = (weight[:, None, None] * jacobian).reshape(-1, 6)
            spared = weight[:, None] * (u[:, :, None] * jacobian).sum(axis=1)
            normal = whole.T @ whole - spared.T @ spared
            towards = whole.T @ (weight[:, None] * residual).ravel()
            towards -= spared.T @ (weight * missed_along)
            if turn is not None:
                normal[:3, :3] += np.eye(3) / sigma**2
                towards[:3] += se3.matrix_to_axis_angle(turn @ rotation.T) / sigma**2
            if not (np.isfinite(normal).all() and np.isfinite(towards).all()):
                return RefinedMotion(np.full(6, np.nan), normal), np.full(len(points), np.inf)
            step = np.linalg.lstsq(normal, towards, rcond=1e-12)[0]
            rotation = se3.axis_angle_to_matrix(step[:3]) @ rotation
            translation = translation + step[3:]
            if np.abs(step).max() < _CONVERGED:
                break
        motion = np.concatenate([se3.matrix_to_axis_angle(rotation), translation])
        return RefinedMotion(motion, self._covariance(normal, translation)), distances

    def _linearised(
        self,
        points: np.ndarray,
        found: np.ndarray,
        rotation: np.ndarray,
        translation: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Where the previous camera sees points under a motion, near that motion.

        Returns:
            residual [n,2] in pixels; its jacobian [n,2,6] by turn and translation; `along` [n,2],
            how far a standard deviation of the depth moves the image; and which points are in
            front of the camera [n]: others have no image to compare.
        """
        focal, centre = self._K[[0, 1], [0, 1]], self._K[:2, 2]
        turned = points @ rotation.T
        seen = turned + translation
        front = seen[:, 2] > _NEAREST * points[:, 2]
        z = np.where(front, seen[:, 2], 1.0)[:, None]
        jacobian = np.zeros((len(points), 2, 6))
        by_turn, by_point = jacobian[..., :3], jacobian[..., 3:]
        by_point[:, [0, 1], [0, 1]] = focal / z
        by_point[..., 2] = -seen[:, :2] / z**2 * focal
        x, y, z_turned = (axis[:, None] for axis in turned.T)
        by_turn[..., 0] = y * by_point[..., 2] - z_turned * by_point[..., 1]
        by_turn[..., 1] = z_turned * by_point[..., 0] - x * by_point[..., 2]
        by_turn[..., 2] = x * by_point[..., 1] - y * by_point[..., 0]
        residual = found - (seen[:, :2] / z * focal + centre)
        along = self._depth_sigma * (by_point * turned[:, None]).sum(axis=2)
        return residual, jacobian, along, front

    def _covariance(self, normal: np.ndarray, translation: np.ndarray) -> np.ndarray:
        """From the normal matrix of (rotation, translation); the depths' common error is added.

        If all depths are too large by a factor, so is the translation, and nothing shows it.
        """
        turned_first = np.linalg.pinv(normal) * _INFLATION**2
        order = [3, 4, 5, 0, 1, 2]
        covariance = turned_first[np.ix_(order, order)]
        covariance[:3, :3] += self._depth_sigma**2 * np.outer(translation, translation)
        return covariance


def track_corners(
    current: np.ndarray, previous: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Corners of the current picture and where the previous one shows them, [n,2] each.

    Args:
        current, previous: grey uint8 [H,W].
        mask: uint8 [H,W], 0 where no corner is wanted.

    Returns:
        pixels (u, v), float64; None where too few are found.
    """
    corners = cv2.goodFeaturesToTrack(current, _CORNERS, _QUALITY, _MIN_DISTANCE_PX, mask=mask)
    if corners is None or len(corners) < _FEWEST_INLIERS:
        return None
    found, seen, _ = cv2.calcOpticalFlowPyrLK(
        current, previous, corners, corners.copy(), winSize=_WINDOW, maxLevel=_LEVELS
    )
    back, returned, _ = cv2.calcOpticalFlowPyrLK(
        previous, current, found, found.copy(), winSize=_WINDOW, maxLevel=_LEVELS
    )
    corners, found, back = corners[:, 0], found[:, 0], back[:, 0]
    kept = (seen[:, 0] > 0) & (returned[:, 0] > 0)
    kept &= np.linalg.norm(back - corners, axis=1) < _ROUND_TRIP_PX
    if kept.sum() < _FEWEST_INLIERS:
        return None
    return corners[kept].astype(np.float64), found[kept].astype(np.float64)
