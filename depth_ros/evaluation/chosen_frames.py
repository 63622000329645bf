"""The frames of a comparison that are worth looking at, picked while the bag goes by."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import numpy as np

from depth_ros.evaluation.bag_pass import AnsweredFrame
from depth_ros.evaluation.depth_scores import FrameScore
from depth_ros.evaluation.samples import shrunk_depth, shrunk_image


class Reason(enum.Enum):
    """Why a frame is shown; AbsRel after median scaling decides."""

    WORST = 'worst after'
    IMPROVED = 'most improved'
    WORSENED = 'most worsened'


@dataclass(frozen=True, eq=False)
class ChosenFrame:
    """One frame to look at: RGB uint8 [h,w,3] and depths [h',w'], shrunk; scores of both.

    `plain` is bool [h',w']: the textureless part of the pixels with truth.
    """

    index: int
    reasons: tuple[Reason, ...]
    image: np.ndarray
    truth_m: np.ndarray
    plain: np.ndarray
    before_m: np.ndarray
    after_m: np.ndarray
    before: FrameScore
    after: FrameScore


class FrameChooser:
    """Keeps the frames that come first by each reason, so that a long bag fills no memory."""

    def __init__(self, limit: int) -> None:
        """Keep about `limit` frames in all, a third by each reason."""
        self._each = -(-limit // len(Reason))
        self._kept: dict[Reason, list[tuple[float, ChosenFrame]]] = {
            reason: [] for reason in Reason
        }

    def offer(self, answered: AnsweredFrame) -> None:
        """See the next frame, answered by the model before and the one after."""
        before, after = (answer.score for answer in answered.answers)
        if self._each == 0 or answered.truth is None or before is None or after is None:
            return
        gain = before.abs_rel - after.abs_rel
        ranks = {Reason.WORST: after.abs_rel}
        if gain != 0.0:
            ranks[Reason.IMPROVED if gain > 0.0 else Reason.WORSENED] = abs(gain)
        wanted = [reason for reason, rank in ranks.items() if self._would_keep(reason, rank)]
        if not wanted:
            return
        chosen = _shrunk(answered, before, after)
        for reason in wanted:
            kept = self._kept[reason]
            kept.append((ranks[reason], chosen))
            kept.sort(key=lambda entry: -entry[0])
            del kept[self._each:]

    def chosen(self) -> tuple[ChosenFrame, ...]:
        """Return the frames kept, each once, with all its reasons: the worst first."""
        reasons: dict[int, list[Reason]] = {}
        frames: dict[int, ChosenFrame] = {}
        for reason, kept in self._kept.items():
            for _, frame in kept:
                reasons.setdefault(frame.index, []).append(reason)
                frames[frame.index] = frame
        return tuple(replace(frame, reasons=tuple(reasons[index]))
                     for index, frame in frames.items())

    def _would_keep(self, reason: Reason, rank: float) -> bool:
        kept = self._kept[reason]
        return len(kept) < self._each or rank > kept[-1][0]


def _shrunk(answered: AnsweredFrame, before: FrameScore, after: FrameScore) -> ChosenFrame:
    truth = answered.truth
    assert truth is not None
    assert truth.plain is not None
    size = truth.depth_m.shape
    before_m, after_m = (shrunk_depth(answer.depth_m, size) for answer in answered.answers)
    plain_m = np.where(truth.plain, truth.depth_m, np.nan)
    return ChosenFrame(
        index=truth.index,
        reasons=(),
        image=shrunk_image(answered.frame.image),
        truth_m=shrunk_depth(truth.depth_m, size),
        plain=np.isfinite(shrunk_depth(plain_m, size)),
        before_m=before_m,
        after_m=after_m,
        before=before,
        after=after,
    )
