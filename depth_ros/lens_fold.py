"""How far from its axis a lens model means anything.

The polynomials of camera_info are fitted to what the sensor saw. Beyond that many of them fold: a
ray that is further out comes to lie further in, so that what is inside would be shown once more,
mirrored, where the camera never looked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.polynomial import Polynomial


def polynomial_fold(d: Sequence[float]) -> float:
    """Tangent of the angle to the axis at which plumb_bob and rational_polynomial fold.

    Decentring is left away, which moves points by little.

    Args:
        d: k1, k2, p1, p2, k3, k4, k5, k6, as far as there are so many.

    Returns:
        Infinity where they never fold.
    """
    k1, k2, _, _, k3, k4, k5, k6 = (*d[:8], *[0.0] * (8 - len(d)))
    return math.sqrt(_fold((k1, k2, k3), (k4, k5, k6)))


def fisheye_fold(d: Sequence[float]) -> float:
    """Likewise of the fisheye model, whose radius goes with the angle itself.

    Args:
        d: k1, k2, k3, k4, as far as there are so many.
    """
    angle = math.sqrt(_fold(d, ()))
    return math.tan(angle) if angle < math.pi / 2 else math.inf


def _fold(above: Sequence[float], below: Sequence[float]) -> float:
    """The least square s of r at which r (1 + a1 s + ...) / (1 + b1 s + ...) grows no more."""
    square = Polynomial([0.0, 1.0])
    top, bottom = Polynomial([1.0, *above]), Polynomial([1.0, *below])
    with np.errstate(over='ignore', invalid='ignore'):
        slope = top * bottom + 2 * square * (top.deriv() * bottom - top * bottom.deriv())
        # Where the quotient grows no more, and where it is none.
        ends = np.concatenate([_roots(slope), _roots(bottom)])
    real = ends.real[(ends.imag == 0) & (ends.real > 0)]
    return float(real.min(initial=math.inf))


def _roots(polynomial: Polynomial) -> np.ndarray:
    """None of coefficients that no lens has, too far apart to compute with."""
    trimmed = polynomial.trim()
    if not np.isfinite(trimmed.coef / trimmed.coef[-1]).all():
        return np.empty(0, complex)
    return trimmed.roots().astype(complex)
