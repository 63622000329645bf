"""An evaluation as a page to look at, as text for a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import enum
import json
from typing import Any

import cv2
import numpy as np

from depth_ros.colorize import colorize_depth, depth_range
from depth_ros.evaluation import plots, report
from depth_ros.evaluation.alignment import Alignment
from depth_ros.evaluation.depth_scores import DepthScores
from depth_ros.evaluation.evaluate import Evaluation, Paths
from depth_ros.evaluation.metrics import DepthMetrics, median_scale
from depth_ros.evaluation.motion_scores import WITH_UNIT, MotionEvaluation, MotionScores
from depth_ros.evaluation.report import Html, Page, Picture
from depth_ros.evaluation.samples import Sample

_DEPTH_COLUMNS = ('AbsRel', 'SqRel', 'RMSE', 'RMSElog', 'log10', 'd1', 'd2', 'd3', 'SILog', 'MAE')
_LARGEST_SHOWN_ERROR = 0.5
"""Relative error that is drawn in full colour."""
_NONE = '–'
"""Stands in the cell of a figure that there is not."""

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]
"""Column names and rows of cells; the first cell names the row."""


def to_json(evaluation: Evaluation) -> str:
    """Return every figure, with null where there is none; poses and pictures are left out."""
    values = _plain(evaluation)
    for name in ('paths', 'samples'):
        del values[name]
    return json.dumps(values, indent=2, allow_nan=False) + '\n'


def to_text(evaluation: Evaluation) -> str:
    """Return the tables for a terminal."""
    parts = [_summary(evaluation)]
    if evaluation.depth:
        parts += [_aligned(_depth_table(evaluation.depth)),
                  _aligned(_scale_table(evaluation.depth))]
    if evaluation.motion:
        parts += [_aligned(_motion_table(evaluation.motion)), _motion_caption(evaluation.motion)]
    return '\n\n'.join(parts)


def to_page(evaluation: Evaluation) -> Page:
    """Return the page: figures first, then frames and paths to look at."""
    page = Page(f'{evaluation.spec.name} on {evaluation.bag}', _summary(evaluation))
    if evaluation.depth:
        page.add(report.heading('Depth'), report.table(*_depth_table(evaluation.depth)),
                 report.note(f'Over truth below {evaluation.depth_range.max_m:g} m, averaged per '
                             'image. Median scaling multiplies each image by median(truth) / '
                             'median(prediction). Guesses use no network.'),
                 report.heading('Scale'), report.table(*_scale_table(evaluation.depth)))
    if evaluation.motion and evaluation.paths:
        page.add(report.heading('Egomotion'), report.table(*_motion_table(evaluation.motion)),
                 report.note(_motion_caption(evaluation.motion)), _path_plot(evaluation.paths))
    if evaluation.samples:
        page.add(report.heading('Frames'))
    for sample in evaluation.samples:
        page.add(_pictures(sample))
    return page


def _summary(evaluation: Evaluation) -> str:
    spec = evaluation.spec
    return (f'{evaluation.frames} frames of {evaluation.bag}; model {spec.name} '
            f'({spec.family}, {spec.width}x{spec.height}, {spec.precision.value}, scale '
            f'{spec.scale.value} from {spec.scale_source}) on {evaluation.backend}; '
            f'{evaluation.latency_ms.p50:.1f} ms per frame at the median, '
            f'{evaluation.latency_ms.p95:.1f} ms at the 95th percentile')


def _depth_table(scores: tuple[DepthScores, ...]) -> Table:
    rows = []
    for kind, label in (('median_scaled', 'median-scaled'), ('unscaled', 'no scaling')):
        for score in scores:
            metrics = getattr(score, kind)
            if metrics is not None:
                rows.append((f'{score.name}, {label}', *_depth_cells(metrics)))
    return ('', *_DEPTH_COLUMNS), rows


def _depth_cells(metrics: DepthMetrics) -> tuple[str, ...]:
    values = (metrics.abs_rel, metrics.sq_rel, metrics.rmse, metrics.rmse_log, metrics.log10,
              metrics.d1, metrics.d2, metrics.d3)
    return (*(f'{value:.3f}' for value in values), f'{metrics.silog:.1f}', f'{metrics.mae:.3f}')


def _scale_table(scores: tuple[DepthScores, ...]) -> Table:
    rows: list[tuple[str, ...]] = [
        (score.name, str(score.images), f'{score.coverage:.1%}',
         f'{score.stability.median_ratio:.3f}', f'{score.stability.relative_std:.3f}')
        for score in scores]
    return ('', 'images', 'pixels covered', 'median ratio', 'relative std'), rows


def _motion_table(motion: MotionEvaluation) -> Table:
    columns = ('', *(f'ATE {alignment.value} [m]' for alignment in WITH_UNIT),
               'ATE scale / path', 'RPE [m]', 'RPE [deg]', 'RPE [m/s]', 'RPE [deg/s]',
               'direction [deg]')
    return columns, [_motion_row(scores) for scores in (motion.model, *motion.guesses)]


def _motion_row(scores: MotionScores) -> tuple[str, ...]:
    errors = {position.alignment: position for position in scores.positions}
    ates = [f'{errors[kind].rmse:.3f}' if kind in errors else _NONE for kind in WITH_UNIT]
    share = errors[Alignment.SCALE].path_share if errors else None
    relative = [f'{value:.3f}' for error in (scores.pair, scores.per_second) if error
                for value in (error.translation_rmse, error.rotation_rmse_deg)]
    relative += [_NONE] * (4 - len(relative))
    direction = scores.direction_median_deg
    return (scores.name, *ates, _NONE if share is None else f'{share:.1%}', *relative,
            _NONE if direction is None else f'{direction:.1f}')


def _motion_caption(motion: MotionEvaluation) -> str:
    pairing = motion.pairing
    return (f'Path of {motion.path_m:.2f} m over {motion.frames} frames. RPE and the median '
            f'direction error are over pairs {pairing.step} frames apart, RPE per second over '
            f'{pairing.second}, after {pairing.alignment.value} alignment of the whole path '
            '(straight ahead: scale). "Straight ahead" is constant motion along the optical axis; '
            '"previous true motion" repeats the true pair before.')


def _path_plot(paths: Paths) -> Html:
    """Draw the two horizontal coordinates that the true path uses most."""
    true, predicted = paths.true[:, :3, 3], paths.predicted[:, :3, 3]
    first, second = sorted(np.argsort(np.ptp(true, axis=0))[-2:].tolist())
    return plots.path_plot(
        [plots.Series('true', true[:, first], true[:, second]),
         plots.Series(f'predicted, {paths.alignment.value} aligned', predicted[:, first],
                      predicted[:, second])],
        f'{"xyz"[first]} [m]', f'{"xyz"[second]} [m]')


def _pictures(sample: Sample) -> Html:
    """Draw one frame; prediction and truth share their colours after median scaling."""
    row = [Picture(sample.image, f'frame {sample.index}: input')]
    truth_m = sample.truth_m
    if truth_m is None:
        return report.pictures([*row, _depth_picture(sample.predicted_m, None, 'predicted depth')])
    valid = (truth_m > 0.0) & np.isfinite(sample.predicted_m)
    ratio = median_scale(truth_m, sample.predicted_m, valid) if valid.any() else 1.0
    scaled_m, limits = ratio * sample.predicted_m, depth_range(truth_m)
    return report.pictures([
        *row,
        _depth_picture(scaled_m, limits, f'predicted depth x {ratio:.3f}'),
        _depth_picture(truth_m, limits, 'truth'),
        Picture(_error_picture(scaled_m, truth_m, valid),
                f'relative error: black 0, white {_LARGEST_SHOWN_ERROR:.0%} or more')])


def _depth_picture(depth_m: np.ndarray, limits: tuple[float, float] | None,
                   caption: str) -> Picture:
    limits = limits or depth_range(depth_m)
    if limits is not None:
        caption += f', red {limits[0]:.2f} to blue {limits[1]:.2f}'
    return Picture(cv2.cvtColor(colorize_depth(depth_m, limits), cv2.COLOR_BGR2RGB), caption)


def _error_picture(scaled_m: np.ndarray, truth_m: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return RGB uint8 [h, w, 3], dark where prediction and truth agree, grey without truth."""
    error = np.zeros(truth_m.shape, np.float32)
    error[valid] = np.abs(scaled_m[valid] - truth_m[valid]) / truth_m[valid]
    level = np.clip(255.0 * error / _LARGEST_SHOWN_ERROR, 0.0, 255.0).astype(np.uint8)
    picture = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_HOT), cv2.COLOR_BGR2RGB)
    picture[~valid] = 128
    return picture


def _aligned(table: Table) -> str:
    """Return a table as lines of text, the first column to the left and the others right."""
    columns, rows = table
    lines = [columns, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    return '\n'.join(
        '  '.join([line[0].ljust(widths[0]),
                   *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
        for line in lines)


def _plain(value: Any) -> Any:
    """Return a value of nested dataclasses, enums and tuples as JSON knows it."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name))
                for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value
