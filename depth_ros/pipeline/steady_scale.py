"""Keeps the scale of depth steady from frame to frame.

A network sees every frame by itself and errs by a factor of its own in each, which changes by some
2 % from frame to frame and 5 to 10 % within seconds: clouds breathe. Once the motion between two
frames is known, their depth maps tell the ratio of their factors, and each frame can be brought to
the mean factor of the frames before it, in which errors partly cancel.

What all frames have in common stays. Surfaces keep the scale at which they were seen first: where
a network says less of what is far than of what is near, as most do, depth comes out some percent
smaller on the way ahead. The mean forgets what is longer ago, so that this adds up over its time
constant and no further.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import ModelSpec

_STRIDE = 4
"""Of the pixels that are carried into the earlier frame: a median needs no more."""
_LEAST_SHARE = 0.1
"""Of these pixels that must be seen by both frames."""


@dataclass(frozen=True, eq=False)
class SteadyDepth:
    """The depth of a frame, and what brings it to the mean scale of those before."""

    depth: np.ndarray
    """float32 [h,w] in the network's unit, as it was answered; NaN where unknown."""
    correction: float = 0.0
    """Logarithm of the factor that this depth is to be multiplied by."""
    span_s: float = 0.0
    """Over so many seconds the mean goes."""

    @property
    def factor(self) -> float:
        """What this depth is to be multiplied by."""
        return math.exp(self.correction)


class SteadyScale:
    """Steadies the depth of one camera."""

    def __init__(self, rays: np.ndarray) -> None:
        """Prepare.

        Args:
            rays: [h,w,2] (x, y) at z = 1 of the pixels of depth, of an undistorted camera.
        """
        self._rays = np.ascontiguousarray(rays[::_STRIDE, ::_STRIDE], np.float64)
        self._first = rays[0, 0].astype(np.float64)
        self._spacing = rays[-1, -1].astype(np.float64) - self._first
        self._spacing /= np.array(rays.shape[1::-1]) - 1

    def follow(
        self,
        earlier: SteadyDepth,
        depth: np.ndarray,
        earlier_T_current: np.ndarray,
        elapsed_s: float,
        window_s: float,
    ) -> SteadyDepth:
        """Bring a frame to the mean scale of the earlier ones and itself.

        Args:
            earlier: the frame that the motion starts from.
            depth: of the frame, as in SteadyDepth.
            earlier_T_current: [4,4], translation in the unit of `depth`.
            elapsed_s: from the earlier frame to this one.
            window_s: time constant of the mean once it goes over so many seconds; until then all
                frames count alike.

        Returns:
            `depth` with its correction: that of the earlier frame where the two have too little
            in common.
        """
        ratio = self.log_ratio(earlier.depth, depth, earlier_T_current)
        if ratio is None:
            return SteadyDepth(depth, earlier.correction, earlier.span_s)
        # The first two frames count alike; later ones as long as they are apart.
        span_s = (earlier.span_s or elapsed_s) + elapsed_s
        share = elapsed_s / span_s if span_s > 0 else 0.0
        correction = (1.0 - share) * (earlier.correction + ratio)
        return SteadyDepth(depth, correction, min(span_s, window_s))

    def log_ratio(
        self, earlier: np.ndarray, depth: np.ndarray, earlier_T_current: np.ndarray
    ) -> float | None:
        """Logarithm of the scale of `earlier` over that of `depth`; None: too little in common.

        Every pixel of `depth` is carried into the earlier frame, and compared with what that saw
        there; the median bears with what moves, and with what one of the two does not see.
        """
        z = depth[::_STRIDE, ::_STRIDE].astype(np.float64)
        points = np.concatenate([self._rays * z[..., None], z[..., None]], axis=2)
        with np.errstate(divide='ignore', invalid='ignore'):
            points = points @ earlier_T_current[:3, :3].T + earlier_T_current[:3, 3]
            pixels = (points[..., :2] / points[..., 2:] - self._first) / self._spacing
            pixels[~(points[..., 2] > 0)] = np.nan
            # Of planes inverse depth is linear in the image: nothing is lost between pixels.
            seen = cv2.remap(
                np.reciprocal(earlier),
                pixels.astype(np.float32),
                None,  # type: ignore[call-overload]
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_CONSTANT,
                borderValue=math.nan,
            )
            ratios = -np.log(seen * points[..., 2])
        ratios = ratios[np.isfinite(ratios)]
        if len(ratios) < max(1.0, _LEAST_SHARE * z.size):
            return None
        return float(np.median(ratios))


def check_smoothing(window_s: float, spec: ModelSpec) -> None:
    """Refuse smoothing where nothing tells the motion between frames.

    Raises:
        ConfigError: it is asked for, and the model has no pose network.
    """
    if window_s > 0 and spec.motion is None:
        raise ConfigError(
            f'scale smoothing over {window_s:g} s needs a pose network, which model '
            f'{spec.name!r} does not have; allowed: 0'
        )
