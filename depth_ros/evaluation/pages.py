"""An evaluation as a page to look at, as text for a terminal and as JSON."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from typing import Any

import numpy as np

from depth_ros.evaluation import plots, report, tables
from depth_ros.evaluation.boundaries import FOREGROUND_ALPHA, THRESHOLDS
from depth_ros.evaluation.confidence_curve import ConfidenceCurve
from depth_ros.evaluation.frame_pictures import (
    LARGEST_SHOWN_ERROR,
    depth_picture,
    error_picture,
    relative_error,
    shown_range,
    truth_picture,
)
from depth_ros.evaluation.metrics import median_scale
from depth_ros.evaluation.protocol import Crop, DepthProtocol, Scaling
from depth_ros.evaluation.report import Html, Page, Picture
from depth_ros.evaluation.results import Evaluation, Paths
from depth_ros.evaluation.samples import Sample
from depth_ros.evaluation.texture import PLAIN_SHARE

PLAIN_NOTE = (f'"AbsRel plain" is over the {PLAIN_SHARE:.0%} of the pixels with truth around '
              'which the image has the least gradient, at the scale of the whole image.')

CONFIDENCE_NOTE = (
    'Pixels with truth of all frames that could be judged, in equal parts by confidence: how well '
    'the frame before, seen through depth and motion, agrees with this one. It knows nothing of '
    'an error of scale. min_confidence of the node blanks what is below it.')

CONFIDENCE_AXIS = 'confidence, middle of each tenth'

BOUNDARY_NOTE = (
    'Boundary F1 (Depth Pro, Bochkovskii et al. 2025) says how well edges stand where they are. A '
    'contour lies between neighbouring pixels whose depths differ by more than a ratio of '
    f'{THRESHOLDS[0]:g} to {THRESHOLDS[-1]:g}; precision is the share of predicted contours that '
    'are true, recall the share of true ones that are predicted. No scale changes them. Pairs '
    'that touch unknown depth are left out. A contour counts where it is to the pixel of the '
    'truth: networks of fewer pixels spread their edges and stay far below 1.')


MASK_NOTE = (
    "Mask recall (Depth Pro) is the share of a foreground mask's outline at which predicted depth "
    'steps, to the pixel, towards the foreground, by the ratios of boundary F1; averaged over the '
    f'masks that have an outline. Foreground is above {FOREGROUND_ALPHA:.0%} of the largest '
    'value. No scale changes it. There is no precision: masks do not show the contours inside.')


def to_json(evaluation: Evaluation) -> str:
    """Return every figure, with null where there is none; poses and pictures are left out."""
    return json.dumps(figures(evaluation), indent=2, allow_nan=False) + '\n'


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """The same as nested dictionaries; single frames stand with the model alone."""
    values = _plain(evaluation)
    for name in ('paths', 'samples'):
        del values[name]
    for scores in values['depth']:
        if scores['name'] != 'model':
            del scores['frames']
    return values


def to_text(evaluation: Evaluation) -> str:
    """Return the tables for a terminal."""
    parts = [summary(evaluation)]
    if evaluation.depth:
        parts += [tables.depth_table(evaluation.depth, evaluation.headline).to_text(),
                  tables.scale_table(evaluation.depth, evaluation.motion).to_text()]
        boundaries = tables.boundary_table(evaluation.depth)
        if boundaries.rows:
            parts.append(boundaries.to_text())
    if evaluation.masks:
        parts.append(tables.mask_table(evaluation.masks).to_text())
    if evaluation.confidence:
        parts.append(tables.confidence_table(evaluation.confidence).to_text())
    if evaluation.motion:
        parts += [tables.motion_table(evaluation.motion).to_text(),
                  tables.motion_caption(evaluation.motion)]
    return '\n\n'.join([*parts, *evaluation.remarks])


def to_page(evaluation: Evaluation) -> Page:
    """Return the page: figures first, then frames and paths to look at."""
    page = Page(f'{evaluation.spec.name} on {evaluation.bag}', summary(evaluation))
    if evaluation.depth:
        table = tables.depth_table(evaluation.depth, evaluation.headline)
        page.add(report.heading('Depth'), table.to_html(),
                 report.note(f'{rules(evaluation)} {PLAIN_NOTE} Guesses use no network.'),
                 report.heading('Scale'),
                 tables.scale_table(evaluation.depth, evaluation.motion).to_html(),
                 *boundary_parts(tables.boundary_table(evaluation.depth)))
    page.add(*mask_parts(tables.mask_table(evaluation.masks), evaluation.mask_topic))
    if evaluation.confidence:
        page.add(*_confidence_parts(evaluation.confidence))
    page.add(*(report.note(remark) for remark in evaluation.remarks))
    if evaluation.motion and evaluation.paths:
        page.add(report.heading('Egomotion'),
                 tables.motion_table(evaluation.motion).to_html(),
                 report.note(tables.motion_caption(evaluation.motion)),
                 path_plot(evaluation.paths, [('predicted', evaluation.paths)]))
    if evaluation.samples:
        page.add(report.heading('Frames'))
    for sample in evaluation.samples:
        page.add(_pictures(sample, evaluation.protocol))
    return page


def summary(evaluation: Evaluation) -> str:
    """One sentence: what ran on what, and how fast."""
    spec = evaluation.spec
    return (f'{evaluation.frames} frames of {evaluation.bag}; model {spec.name} '
            f'({spec.family}, {spec.width}x{spec.height}, {spec.precision.value}, scale '
            f'{spec.scale.value} from {spec.scale_source}) on {evaluation.backend}; '
            f'metres: {evaluation.scale.text}; '
            f'{evaluation.latency_ms.p50:.1f} ms per frame at the median, '
            f'{evaluation.latency_ms.p95:.1f} ms at the 95th percentile')


def rules(evaluation: Evaluation) -> str:
    """How depth was compared."""
    protocol = evaluation.protocol
    crop = " inside Garg's crop" if protocol.crop is Crop.GARG else ''
    limits = protocol.depth_range
    return (f'Truth from {evaluation.truth}, between {limits.min_m:g} and {limits.max_m:g} m'
            f'{crop} ({protocol.kind.value}); errors are averaged per image. Median scaling '
            'multiplies each image by median(truth) / median(prediction); what is scaled is then '
            'clamped to that range.')


def boundary_parts(table: tables.Table) -> list[Html]:
    """The section on edges; nothing where no truth shows contours."""
    if not table.rows:
        return []
    return [report.heading('Boundaries'), table.to_html(), report.note(BOUNDARY_NOTE)]


def mask_parts(table: tables.Table, topic: str) -> list[Html]:
    """The section on the outlines of masks; nothing where there are none."""
    if not table.rows:
        return []
    return [report.heading('Foreground masks'), table.to_html(),
            report.note(f'Masks from {topic}. {MASK_NOTE}')]


def _confidence_parts(curve: ConfidenceCurve) -> list[Html]:
    """The section on confidence: fifths as a table, tenths as a line."""
    lines = [confidence_line('median-scaled', curve, Scaling.MEDIAN),
             confidence_line('no scaling', curve, Scaling.NONE)]
    return [
        report.heading('Confidence'),
        tables.confidence_table(curve).to_html(),
        report.note(f'{CONFIDENCE_NOTE} {curve.judged:.0%} of the pixels of these frames have a '
                    'confidence; the others left the picture before, or lie at its edge.'),
        plots.line_plot(lines, CONFIDENCE_AXIS, 'AbsRel'),
    ]


def confidence_line(name: str, curve: ConfidenceCurve, scaling: Scaling,
                    colour: str = '') -> plots.Series:
    """AbsRel over confidence."""
    middles = [(band.lowest + band.highest) / 2 for band in curve.tenths]
    errors = [band.abs_rel(scaling) for band in curve.tenths]
    return plots.Series(name, np.array(middles), np.array(errors), colour)


def path_plot(true: Paths, predicted: list[tuple[str, Paths]]) -> Html:
    """Draw paths along the two coordinates that the true one uses most."""
    positions = true.true[:, :3, 3]
    first, second = sorted(np.argsort(np.ptp(positions, axis=0))[-2:].tolist())
    series = [plots.Series('true', positions[:, first], positions[:, second])]
    for name, paths in predicted:
        ours = paths.predicted[:, :3, 3]
        series.append(plots.Series(f'{name}, {paths.alignment.value} aligned', ours[:, first],
                                   ours[:, second]))
    return plots.path_plot(series, f'{"xyz"[first]} [m]', f'{"xyz"[second]} [m]')


def _pictures(sample: Sample, protocol: DepthProtocol) -> Html:
    """Draw one frame; prediction and truth share their colours after median scaling."""
    row = [Picture(sample.image, f'frame {sample.index}: input')]
    truth_m = sample.truth_m
    if truth_m is None:
        return report.pictures([*row, depth_picture(sample.predicted_m, None, 'predicted depth')])
    counted = protocol.counted(truth_m, sample.predicted_m)
    ratio = median_scale(truth_m, sample.predicted_m, counted) if counted.any() else 1.0
    scaled_m, limits = ratio * sample.predicted_m, shown_range(truth_m)
    return report.pictures([
        *row,
        depth_picture(scaled_m, limits, f'predicted depth x {ratio:.3f}'),
        truth_picture(truth_m, limits, sample.image),
        error_picture(relative_error(scaled_m, truth_m, counted), sample.image,
                      f'relative error: black 0, white {LARGEST_SHOWN_ERROR:.0%} or more')])


def _plain(value: Any) -> Any:
    """Return a value of nested dataclasses, enums and tuples as JSON knows it."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name))
                for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
