"""Runs the robot's pipeline over a bag and compares it with the truth that the bag holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from depth_ros.evaluation.bag_pass import BagPass
from depth_ros.evaluation.chosen_frames import ChosenFrame, FrameChooser
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.evaluation.results import Evaluation
from depth_ros.evaluation.samples import EvenSamples
from depth_ros.pipeline import DepthPipeline

OnFrame = Callable[[int], None]
"""Told the number of frames done after each."""


@dataclass(frozen=True)
class Comparison:
    """Two models on the same frames, and those frames that tell most of the difference."""

    before: Evaluation
    after: Evaluation
    frames: tuple[ChosenFrame, ...]


def evaluate(request: EvaluationRequest, pipeline: DepthPipeline,
             on_frame: OnFrame) -> Evaluation:
    """Run every selected frame through a track of its own and score it.

    A model without a metric scale runs with scale source NONE, any other with its own, unless
    the request says otherwise.

    Raises:
        BagError: no frames, or no truth to compare with.
        ConfigError: the scale source does not fit the model, or the guesses know judged frames.
    """
    samples = EvenSamples(request.samples)
    bag = BagPass(request, [pipeline])
    for done, answered in enumerate(bag.frames(), 1):
        truth_m = None if answered.truth is None else answered.truth.depth_m
        samples.offer(answered.frame.image, answered.answers[0].depth_m, truth_m)
        on_frame(done)
    return bag.evaluation(0, samples.kept())


def compare(request: EvaluationRequest, before: DepthPipeline, after: DepthPipeline,
            on_frame: OnFrame) -> Comparison:
    """Run every selected frame through both models, as evaluate does with one.

    Raises:
        BagError: no frames, or no truth to compare with.
        ConfigError: the scale source does not fit a model, or the guesses know judged frames.
    """
    chooser = FrameChooser(request.samples)
    bag = BagPass(request, [before, after])
    for done, answered in enumerate(bag.frames(), 1):
        chooser.offer(answered)
        on_frame(done)
    return Comparison(bag.evaluation(0), bag.evaluation(1), chooser.chosen())
