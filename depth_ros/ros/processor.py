"""From image messages to published depth: the one place where frames meet the model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from depth_ros.parameters import NodeParameters
from depth_ros.pipeline import BegunFrame, CameraTrack, DepthPipeline, Estimate, SeenFrame
from depth_ros.ros.camera_port import CameraPort, Job
from depth_ros.ros.inputs import Arrival
from depth_ros.ros.model_loader import LoadedModel

Image = tuple[CameraPort, Arrival]
"""An image and the camera that it is of."""


class FrameProcessor:
    """Owns the model that all cameras share; frames and swaps take turns.

    `process` is called by one thread at a time, everything else may be called at any time.
    """

    def __init__(self, ports: Sequence[CameraPort]) -> None:
        """Begin without a model: `install` brings one."""
        self._ports = ports
        self._turn = threading.Lock()
        self._pipeline: DepthPipeline | None = None
        self._batch = 1

    @property
    def batch(self) -> int:
        """Most images that are answered together."""
        return self._batch

    def install(self, loaded: LoadedModel, parameters: NodeParameters) -> None:
        """Swap the model in between two frames, and close the one before.

        Raises:
            ConfigError: the scale source does not fit the model; the one before stays.
        """
        tracks = [
            CameraTrack(loaded.pipeline, parameters.track_settings(port.name))
            for port in self._ports
        ]
        with self._turn:
            old, self._pipeline = self._pipeline, loaded.pipeline
            self._batch = loaded.batching.frames
            for port, track in zip(self._ports, tracks):
                port.install(track, parameters)
        if old is not None:  # no frame waits for it
            old.close()

    def apply(self, parameters: NodeParameters) -> None:
        """Use other parameters from the next frame on.

        Raises:
            ConfigError: the scale source does not fit the model; nothing is changed.
        """
        with self._turn:
            for port in self._ports:
                port.apply(parameters)

    def close(self) -> None:
        """Wait for the frames in flight and give the model back."""
        with self._turn:
            old, self._pipeline = self._pipeline, None
            if old is not None:
                old.close()

    def process(self, images: list[Image], more: Callable[[list[Image]], list[Image]]) -> None:
        """Answer images of different cameras together.

        Args:
            images: those that were there.
            more: gives those that came in while others were prepared, so that cameras that are
                triggered together are answered together, though none of them is waited for.
        """
        jobs: list[Job] = []
        taken: list[Image] = []
        while images:
            jobs += [job for port, arrival in images if (job := port.prepare(arrival)) is not None]
            taken += images
            images = more(taken)
        with self._turn:
            if self._pipeline is None:  # still loading: newer frames will do
                for job in jobs:
                    job.port.overtake()
                return
            estimates = _estimate(self._pipeline, jobs)
        for job, estimate in estimates:
            job.port.publish(job, estimate)


def _estimate(pipeline: DepthPipeline, jobs: Sequence[Job]) -> list[tuple[Job, Estimate]]:
    """What one run of the networks tells of frames of different cameras."""
    begun = [(job, frame) for job in jobs if (frame := job.port.begin(job)) is not None]
    return _answer(pipeline, begun) if begun else []


def _answer(
    pipeline: DepthPipeline, begun: Sequence[tuple[Job, BegunFrame]]
) -> list[tuple[Job, Estimate]]:
    try:
        answers = pipeline.ask([frame.question for _, frame in begun])
    except Exception as error:
        if len(begun) > 1:  # a frame that a network fails on costs no other camera's
            return [done for one in begun for done in _answer(pipeline, [one])]
        job = begun[0][0]
        job.port.fail(job, error)
        return []
    # All depth before any motion: no camera's depth waits for another's motion.
    seen = [
        (job, one)
        for (job, frame), answer in zip(begun, answers)
        if (one := job.port.see(job, frame, answer)) is not None
    ]
    return _follow(pipeline, seen)


def _follow(
    pipeline: DepthPipeline, seen: Sequence[tuple[Job, SeenFrame]]
) -> list[tuple[Job, Estimate]]:
    try:
        motions = pipeline.motions([one.begun.question for _, one in seen])
    except Exception as error:
        if len(seen) > 1:
            return [done for one in seen for done in _follow(pipeline, [one])]
        job, frame = seen[0]
        job.port.fail_motion(job, frame, error)
        return []
    return [
        (job, estimate)
        for (job, one), motion in zip(seen, motions)
        if (estimate := job.port.follow(job, one, motion)) is not None
    ]
