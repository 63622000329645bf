"""Line plots and paths seen from above, as inline SVG for a report page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depth_ros.evaluation.report import Html

PALETTE = ('#1f2d3d', '#e4572e', '#2e86ab', '#76b041', '#8e5ea2', '#e0a100')
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 30, 44


@dataclass(frozen=True)
class Series:
    """A named line through points (x[i], y[i]); a y that is not finite interrupts it."""

    name: str
    x: np.ndarray
    y: np.ndarray
    colour: str = ''
    """As CSS writes it, #rrggbb; '': the next of the palette."""


def line_plot(series: Sequence[Series], x_label: str, y_label: str,
              width: int = 640, height: int = 280) -> Html:
    """Return lines over common axes, each axis filling its side."""
    return _Axes.around(series, width, height, equal=False).svg(series, x_label, y_label)


def path_plot(series: Sequence[Series], x_label: str, y_label: str,
              width: int = 640, height: int = 480) -> Html:
    """Return paths over axes of equal scale; a dot marks each start."""
    return _Axes.around(series, width, height, equal=True).svg(series, x_label, y_label,
                                                               mark_start=True)


@dataclass(frozen=True)
class _Axes:
    """The map from data to the pixels of a drawing of width x height."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    width: int
    height: int

    @classmethod
    def around(cls, series: Sequence[Series], width: int, height: int, *, equal: bool) -> _Axes:
        x_range = _range_of([line.x for line in series])
        y_range = _range_of([line.y for line in series])
        if equal:
            per_pixel = max((x_range[1] - x_range[0]) / (width - _LEFT - _RIGHT),
                            (y_range[1] - y_range[0]) / (height - _TOP - _BOTTOM))
            x_range = _widened(x_range, per_pixel * (width - _LEFT - _RIGHT))
            y_range = _widened(y_range, per_pixel * (height - _TOP - _BOTTOM))
        return cls(x_range, y_range, width, height)

    def to_pixels(self, x: np.ndarray | float, y: np.ndarray | float):
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return (_LEFT + (x - x0) / (x1 - x0) * (self.width - _LEFT - _RIGHT),
                self.height - _BOTTOM - (y - y0) / (y1 - y0) * (self.height - _TOP - _BOTTOM))

    def svg(self, series: Sequence[Series], x_label: str, y_label: str,
            mark_start: bool = False) -> Html:
        parts = [*self._grid(), *self._labels(x_label, y_label)]
        legend_x = _LEFT
        for index, line in enumerate(series):
            colour = line.colour or PALETTE[index % len(PALETTE)]
            parts += self._line(line, colour, mark_start)
            parts.append(f'<rect x="{legend_x}" y="10" width="14" height="4" fill="{colour}"/>'
                         f'<text x="{legend_x + 19}" y="16">{html.escape(line.name)}</text>')
            legend_x += 34 + 7 * len(line.name)
        return Html(f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
                    f'height="{self.height}" font-family="system-ui, sans-serif" font-size="12" '
                    f'fill="#5a6577" role="img">{"".join(parts)}</svg>')

    def _grid(self) -> list[str]:
        parts = []
        for value in _ticks(self.x_range):
            x, _ = self.to_pixels(value, 0.0)
            parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" '
                         f'y2="{self.height - _BOTTOM}" stroke="#e3e7ee"/>'
                         f'<text x="{x:.1f}" y="{self.height - _BOTTOM + 16}" '
                         f'text-anchor="middle">{value:g}</text>')
        for value in _ticks(self.y_range):
            _, y = self.to_pixels(0.0, value)
            parts.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{self.width - _RIGHT}" '
                         f'y2="{y:.1f}" stroke="#e3e7ee"/>'
                         f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" '
                         f'text-anchor="end">{value:g}</text>')
        return parts

    def _labels(self, x_label: str, y_label: str) -> list[str]:
        middle_x = (_LEFT + self.width - _RIGHT) / 2
        middle_y = (_TOP + self.height - _BOTTOM) / 2
        return [f'<text x="{middle_x:.0f}" y="{self.height - 8}" text-anchor="middle">'
                f'{html.escape(x_label)}</text>',
                f'<text transform="translate(14 {middle_y:.0f}) rotate(-90)" '
                f'text-anchor="middle">{html.escape(y_label)}</text>']

    def _line(self, line: Series, colour: str, mark_start: bool) -> list[str]:
        known = np.isfinite(line.x) & np.isfinite(line.y)
        parts = []
        for run in _runs(known):
            x, y = self.to_pixels(line.x[run], line.y[run])
            points = ' '.join(f'{a:.1f},{b:.1f}' for a, b in zip(x, y))
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" '
                         'stroke-width="1.8" stroke-linejoin="round"/>')
        if mark_start and known.any():
            first = int(np.argmax(known))
            x, y = self.to_pixels(line.x[first], line.y[first])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        return parts


def _range_of(values: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return a range of positive length around all finite values."""
    joined = np.concatenate([np.asarray(part, np.float64) for part in values] or [np.zeros(1)])
    finite = joined[np.isfinite(joined)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.04 * (high - low) or 0.5 * max(abs(high), 1e-6)
    return low - margin, high + margin


def _widened(limits: tuple[float, float], length: float) -> tuple[float, float]:
    middle = (limits[0] + limits[1]) / 2
    return middle - length / 2, middle + length / 2


def _ticks(limits: tuple[float, float]) -> list[float]:
    """Return about six round values within the limits: steps of 1, 2 or 5 times a power of 10."""
    raw = (limits[1] - limits[0]) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = math.ceil(limits[0] / step), math.floor(limits[1] / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


def _runs(known: np.ndarray) -> list[slice]:
    """Return the stretches in which `known` [N] is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2])]
