"""Measures a finished model on the frames that its run kept, with the robot's pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from depth_ros.backends import BackendOptions
from depth_ros.bags import Selection
from depth_ros.errors import BagError
from depth_ros.evaluation.evaluate import evaluate
from depth_ros.evaluation.pages import to_json, to_page, to_text
from depth_ros.evaluation.report import write_whole
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.model import Model
from depth_ros.pipeline import DepthPipeline
from training.config import BagSource, DataConfig, TrainConfig
from training.data.cache import FrameCache
from training.data.module import TrainingData
from training.data.pairs import split_validation

Progress = Callable[[str], None]


def judge_model(
    config: TrainConfig,
    data: TrainingData,
    model_folder: Path,
    report: Path,
    progress: Progress,
) -> None:
    """Write a report for every bag that kept frames and has truth.

    Args:
        config: of the run.
        data: of the run.
        model_folder: the exported model.
        report: folder to write; one folder a bag below it.
        progress: told the tables.

    Raises:
        ModelError, BackendError: the model does not run.
    """
    with closing(DepthPipeline.open(Model.load(model_folder), BackendOptions())) as pipeline:
        for index, (source, bag) in enumerate(zip(config.bags, data.train)):
            request = _request(config.data, source, bag.cache)
            if request is None:
                continue
            try:
                evaluation = evaluate(request, pipeline, lambda _: None)
            except BagError as error:
                # A bag without truth is good to train on, and says nothing here.
                progress(f'not evaluated on {source.path}: {error}')
                continue
            folder = report / f'{index}-{re.sub("[^A-Za-z0-9._-]", "_", source.path.stem)}'
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / 'metrics.json', to_json(evaluation))
            to_page(evaluation).write(folder / 'index.html')
            progress(f'{source.path}, the last {evaluation.frames} frames kept for validation:')
            progress(to_text(evaluation))


def _request(
    data: DataConfig, source: BagSource, cache: FrameCache
) -> EvaluationRequest | None:
    """The last block of kept frames, against guesses that know the frames before it."""
    kept = split_validation(len(cache), data.validation_share, data.validation_blocks)
    if not kept[-1]:
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
