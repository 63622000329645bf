"""Whether frames of several cameras are given to the networks together or in turns."""

from __future__ import annotations

import time
from dataclasses import dataclass

from depth_ros.backends import UNWATCHED, Loading, LoadingCancelledError
from depth_ros.errors import BackendError
from depth_ros.pipeline.depth_pipeline import DepthPipeline

_RUNS = 10
"""The first few are slower: TensorRT records runs of a size that it has not seen."""
_ENOUGH_S = 1.0
"""No further runs are timed after so long, except the second."""


@dataclass(frozen=True)
class Batching:
    """How frames of several cameras share the networks."""

    frames: int
    """Most frames of one run."""
    why: str = ''
    """For people; empty where there is nothing to choose."""

    def __str__(self) -> str:
        """One line."""
        if self.frames > 1:
            return f'up to {self.frames} together ({self.why})'
        return f'in turns ({self.why})' if self.why else 'one by one'


def choose_batching(
    pipeline: DepthPipeline, cameras: int, loading: Loading = UNWATCHED
) -> Batching:
    """Time the networks with one frame and with one of each camera.

    In turns the frames of N cameras are ready after 1, 2, ... N single runs, (N + 1) / 2 of them
    in the mean; together all are ready after one longer run. What is shorter is chosen; where
    together is shorter, it is also less work.

    Args:
        pipeline: the networks.
        cameras: how many.
        loading: may cancel it.

    Raises:
        BackendError: the runtime failed with a single frame.
        LoadingCancelledError: as `loading` wished.
    """
    if cameras == 1:
        return Batching(1)
    frames = min(cameras, pipeline.max_batch)
    if frames == 1:
        return Batching(1, 'the runtime takes one frame at a time')
    try:
        together = _milliseconds(pipeline, frames, loading)
    except LoadingCancelledError:
        raise
    except BackendError as error:
        return Batching(1, f'together they fail: {error}')
    # Last, so that runs of one frame are what the runtime is prepared for.
    alone = _milliseconds(pipeline, 1, loading)
    why = f'{frames} frames take {together:.1f} ms together, {alone:.1f} ms each'
    return Batching(frames if together < (frames + 1) / 2 * alone else 1, why)


def _milliseconds(pipeline: DepthPipeline, frames: int, loading: Loading) -> float:
    """The shortest of some runs of both networks with so many frames."""
    questions = [pipeline.blank_question()] * frames
    times: list[float] = []
    while len(times) < 2 or (len(times) < _RUNS and sum(times) < _ENOUGH_S):
        if loading.cancelled():
            raise LoadingCancelledError('the model is not wanted any more')
        started = time.perf_counter()
        pipeline.ask(questions)
        pipeline.motions(questions)
        times.append(time.perf_counter() - started)
    return 1e3 * min(times[1:])
