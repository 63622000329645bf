"""What an evaluation says of one model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.evaluation.alignment import Alignment
from depth_ros.evaluation.confidence_curve import ConfidenceCurve
from depth_ros.evaluation.depth_scores import DepthScores
from depth_ros.evaluation.mask_scores import MaskScores
from depth_ros.evaluation.motion_scores import MotionEvaluation
from depth_ros.evaluation.protocol import DepthProtocol, Scaling
from depth_ros.evaluation.samples import Sample
from depth_ros.model_folder.spec import ModelSpec
from depth_ros.pipeline.scale import ScaleSource, ScaleState


@dataclass(frozen=True)
class Paths:
    """True and predicted poses `world_T_cam` [N, 4, 4], the latter aligned as named."""

    alignment: Alignment
    true: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class Latency:
    """Milliseconds from rectified image to estimate.

    Without decoding, transport and confidence.
    """

    p50: float
    p95: float


@dataclass(frozen=True)
class Evaluation:
    """What came out; `depth` has the model first and the guesses after it."""

    bag: str
    frames: int
    spec: ModelSpec
    backend: str
    scale: ScaleState
    """As it stood after the last frame."""
    truth: str
    """Where true depth came from, for people; '' without depth truth."""
    protocol: DepthProtocol
    depth: tuple[DepthScores, ...]
    confidence: ConfidenceCurve | None
    """None without depth truth, or where nothing moved."""
    masks: MaskScores | None
    """None without masks, or where none has an outline."""
    mask_topic: str
    """Where masks came from; '' without them."""
    motion: MotionEvaluation | None
    paths: Paths | None
    samples: tuple[Sample, ...]
    latency_ms: Latency
    remarks: tuple[str, ...]
    """What a reader of the figures should know."""

    @property
    def headline(self) -> Scaling:
        """The scaling whose figures are published for such a model: metres need none."""
        return Scaling.MEDIAN if self.scale.source is ScaleSource.NONE else Scaling.NONE
