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

_CANCELLED = 1e-3
"""A zero this near to a pole, relatively, undoes it: of fitted quotients many have such pairs, at
which a circle thinner than a pixel is wrong, and what lies beyond it is right."""


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
    with np.errstate(over='ignore', invalid='ignore'):
        top, bottom = _reduced(Polynomial([1.0, *above]), Polynomial([1.0, *below]))
        slope = top * bottom + 2 * square * (top.deriv() * bottom - top * bottom.deriv())
        # Where the quotient grows no more, and where it is none.
        ends = np.concatenate([_positive_roots(slope), _positive_roots(bottom)])
    return float(ends.min(initial=math.inf))


def _reduced(top: Polynomial, bottom: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Both without the zeros and poles that cancel."""
    for pole in _positive_roots(bottom):
        near = [zero for zero in _positive_roots(top) if abs(zero - pole) < _CANCELLED * pole]
        if near:
            top //= Polynomial([-near[0], 1.0])
            bottom //= Polynomial([-pole, 1.0])
    return top, bottom


def _positive_roots(polynomial: Polynomial) -> np.ndarray:
    roots = _roots(polynomial)
    return roots.real[(roots.imag == 0) & (roots.real > 0)]


def _roots(polynomial: Polynomial) -> np.ndarray:
    """None of coefficients that no lens has, too far apart to compute with."""
    trimmed = polynomial.trim()
    if not np.isfinite(trimmed.coef / trimmed.coef[-1]).all():
        return np.empty(0, complex)
    return trimmed.roots().astype(complex)
