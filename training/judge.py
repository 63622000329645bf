"""Measures a finished model on the frames that its run kept, with the robot's pipeline."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.bags import Selection
from depth_ros.errors import BagError, ModelError
from depth_ros.evaluation.comparison_pages import comparison_to_page, comparison_to_text
from depth_ros.evaluation.evaluate import compare, evaluate
from depth_ros.evaluation.pages import to_json, to_page, to_text
from depth_ros.evaluation.report import Page
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.evaluation.results import Evaluation
from depth_ros.model_folder.model import Model
from depth_ros.pipeline import DepthPipeline
from depth_ros.system.whole_files import write_whole
from training.config import BagSource, DataConfig, TrainConfig
from training.data.cache import FrameCache
from training.data.module import TrainingData
from training.data.pairs import split_validation
from training.progress import Progress


def judge_model(
    config: TrainConfig,
    data: TrainingData,
    model_folder: Path,
    before: Path | None,
    report: Path,
    progress: Progress,
) -> None:
    """Write a report for every bag that kept frames and has truth in metres.

    Args:
        config: of the run.
        data: of the run.
        model_folder: the exported model.
        before: what the run started from; where that is a model, the report compares the two.
        report: folder to write; one folder a bag below it.
        progress: told the tables.

    Raises:
        ModelError, BackendError: the model does not run.
    """
    with ExitStack() as stack:
        after = stack.enter_context(closing(DepthPipeline.open(Model.load(model_folder))))
        earlier = _earlier_model(before, model_folder)
        first = None
        if earlier is not None:
            first = stack.enter_context(closing(DepthPipeline.open(earlier)))
        for index, (source, bag) in enumerate(zip(config.bags, data.train)):
            request = _request(config.data, source, bag.cache)
            if request is None:
                continue
            if not source.truth.is_metric:
                progress(
                    f'not evaluated on {source.path}: its truth is {source.truth.value}, known '
                    f'up to scale and shift alone, and errors are told in metres'
                )
                continue
            try:
                verdict = _judge(request, first, after)
            except BagError as error:
                # A bag without truth is good to train on, and says nothing here.
                progress(f'not evaluated on {source.path}: {error}')
                continue
            folder = report / f'{index}-{re.sub("[^A-Za-z0-9._-]", "_", source.path.stem)}'
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / 'metrics.json', to_json(verdict.after))
            verdict.page.write(folder / 'index.html')
            frames = verdict.after.frames
            progress(f'{source.path}, the last {frames} frames kept for validation:')
            progress(verdict.text)


@dataclass(frozen=True)
class _Verdict:
    """One bag's figures of the new model, and what is shown of them."""

    after: Evaluation
    page: Page
    text: str


def _judge(
    request: EvaluationRequest, before: DepthPipeline | None, after: DepthPipeline
) -> _Verdict:
    if before is None:
        evaluation = evaluate(request, after, lambda _: None)
        return _Verdict(evaluation, to_page(evaluation), to_text(evaluation))
    comparison = compare(request, before, after, lambda _: None)
    return _Verdict(
        comparison.after, comparison_to_page(comparison), comparison_to_text(comparison)
    )


def _earlier_model(source: Path | None, replaced: Path) -> Model | None:
    """The model that a run started from; None where that were bare weights, or it is no more."""
    if source is None or source.resolve() == replaced.resolve():
        return None
    try:
        return Model.load(source)
    except ModelError:
        return None


def _request(
    data: DataConfig, source: BagSource, cache: FrameCache
) -> EvaluationRequest | None:
    """The last block of kept frames, against guesses that know the frames before it.

    None where none were kept, or of a bag of few frames all of them.
    """
    kept = split_validation(len(cache), data.validation_share, data.validation_blocks)
    if not kept[-1] or kept.all():
        return None
    trained = np.flatnonzero(~kept)
    begin = int(cache.indices[trained[-1] + 1])
    return EvaluationRequest(
        bag=source.path,
        selection=Selection(begin, source.last),
        training=Selection(source.first, begin),
        rectify=data.rectify,
        image_topic=source.image_topic,
        camera_info_topic=source.camera_info_topic,
        depth_topic=source.depth_topic,
        odometry_topic=source.odometry_topic,
    )
