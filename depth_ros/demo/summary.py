"""The figures of a demo run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from depth_ros.demo.accuracy import DepthAccuracy, PathAccuracy
from depth_ros.evaluation.metrics import DepthMetrics


@dataclass(frozen=True)
class LatencyMs:
    """From image published to depth received, by one clock of the machine [milliseconds]."""

    p50: float
    p95: float


@dataclass(frozen=True)
class DepthFigures:
    """Depth errors over the compared images, median-scaled per image and as published."""

    images: int
    abs_rel: float
    d1: float
    unscaled_abs_rel: float | None
    unscaled_d1: float | None
    constant_abs_rel: float
    constant_d1: float
    median_ratio: float


@dataclass(frozen=True)
class PathFigures:
    """ATE [m] by alignment and as a share of the path after scale alignment."""

    poses: int
    path_m: float
    ate_m: Mapping[str, float]
    ate_scale_share: float | None
    caveat: str
    """Whose poses the true ones are, where not the camera's; else empty."""


@dataclass(frozen=True)
class Accuracy:
    """What the bag's truth says; None where it holds none."""

    depth: DepthFigures | None
    path: PathFigures | None


@dataclass(frozen=True)
class Summary:
    """Everything in summary.json."""

    frames_in: int
    """Images that the player published."""
    frames_out: int
    """Images whose depth was received, by stamp."""
    frames_overtaken: int
    """Images that a newer one replaced before the node took them up, as the node counts."""
    frames_refused: int
    """Images that the node could not use, such as those before the first camera_info."""
    frames_lost: int
    """Images that never reached the node."""
    answered: float
    """frames_out / frames_in."""
    latency_ms: LatencyMs
    accuracy: Accuracy
    rate_hz: float
    bag: str
    image_topic: str
    image_size: tuple[int, int]
    frame_ids: tuple[str, ...]
    model: str
    backend: str
    scale_source: str
    torch_imported: bool
    distro: str | None
    middleware: str
    python: str
    cores: int

    def to_json(self) -> str:
        """The content of summary.json."""
        return json.dumps(dataclasses.asdict(self), indent=2) + '\n'


def latency(published_ns: Mapping[int, int], received_ns: Mapping[int, int]) -> LatencyMs:
    """Percentiles over the stamps that have both times."""
    milliseconds = [1e-6 * (received_ns[stamp] - published_ns[stamp])
                    for stamp in published_ns.keys() & received_ns.keys()]
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return LatencyMs(round(float(p50), 2), round(float(p95), 2))


def depth_figures(accuracy: DepthAccuracy | None) -> DepthFigures | None:
    """What summary.json shows of depth."""
    if accuracy is None:
        return None
    scaled, guess = accuracy.model.median_scaled, accuracy.constant.median_scaled
    unscaled: DepthMetrics | None = accuracy.model.unscaled
    return DepthFigures(
        images=accuracy.model.images,
        abs_rel=_rounded(scaled.abs_rel),
        d1=_rounded(scaled.d1),
        unscaled_abs_rel=None if unscaled is None else _rounded(unscaled.abs_rel),
        unscaled_d1=None if unscaled is None else _rounded(unscaled.d1),
        constant_abs_rel=_rounded(guess.abs_rel),
        constant_d1=_rounded(guess.d1),
        median_ratio=_rounded(accuracy.model.stability.median_ratio),
    )


def path_figures(accuracy: PathAccuracy | None) -> PathFigures | None:
    """What summary.json shows of the path."""
    if accuracy is None:
        return None
    shares = {error.alignment.value: error.path_share for error in accuracy.errors}
    share = shares['scale']
    return PathFigures(
        poses=accuracy.poses,
        path_m=_rounded(accuracy.path_m),
        ate_m={error.alignment.value: _rounded(error.rmse) for error in accuracy.errors},
        ate_scale_share=None if share is None else _rounded(share),
        caveat=accuracy.caveat,
    )


def _rounded(value: float) -> float:
    return round(value, 4)
