"""What was published and what came back: plain values, no ROS in here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Cloud:
    """Points of one frame in its camera's optical frame, only those that are known."""

    stamp_ns: int
    points_m: np.ndarray
    """float32 [n,3]."""
    colours: np.ndarray
    """uint8 [n,3] RGB."""


@dataclass
class Answers:
    """Everything the collector received, by the stamp of the image it answers."""

    received_ns: dict[int, int] = field(default_factory=dict)
    """When the depth of each stamp arrived, by the machine's monotonic clock."""
    frame_ids: set[str] = field(default_factory=set)
    depths_m: dict[int, np.ndarray] = field(default_factory=dict)
    """float32 [H,W] of the stamps that were to be kept."""
    confidences: dict[int, np.ndarray] = field(default_factory=dict)
    """float32 [H,W] in 0..1 of the stamps that were to be kept."""
    clouds: list[Cloud] = field(default_factory=list)
    odom_T_base: dict[int, np.ndarray] = field(default_factory=dict)
    """float64 [4,4] in body axes: x forward, y left, z up."""
    diagnostics: dict[str, str] = field(default_factory=dict)
    """The node's latest, by key."""
    condition: str = ''
    """What the node says of itself in one line, the latest."""
