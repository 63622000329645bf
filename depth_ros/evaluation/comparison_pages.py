"""Two models on the same frames, before and after: as one page, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from depth_ros.evaluation import plots, report, tables
from depth_ros.evaluation.chosen_frames import ChosenFrame
from depth_ros.evaluation.confidence_curve import ConfidenceCurve
from depth_ros.evaluation.depth_scores import DepthScores, FrameScore
from depth_ros.evaluation.evaluate import Comparison
from depth_ros.evaluation.frame_pictures import (
    LARGEST_SHOWN_CHANGE,
    LARGEST_SHOWN_ERROR,
    change_picture,
    depth_picture,
    error_picture,
    mask_picture,
    relative_error,
    shown_range,
    truth_picture,
)
from depth_ros.evaluation.pages import (
    CONFIDENCE_AXIS,
    CONFIDENCE_NOTE,
    PLAIN_NOTE,
    boundary_parts,
    confidence_line,
    figures,
    mask_parts,
    path_plot,
    rules,
    summary,
)
from depth_ros.evaluation.protocol import DepthProtocol, Scaling
from depth_ros.evaluation.report import Html, Page, Picture
from depth_ros.evaluation.results import Evaluation
from depth_ros.evaluation.texture import PLAIN_SHARE

_COLOURS = {'before': plots.PALETTE[1], 'after': plots.PALETTE[2]}
"""Those that the paths have beside the true one, in every plot."""


def comparison_to_json(comparison: Comparison) -> str:
    """Return the figures of both models."""
    values = {'before': figures(comparison.before), 'after': figures(comparison.after)}
    return json.dumps(values, indent=2, allow_nan=False) + '\n'


def comparison_to_text(comparison: Comparison) -> str:
    """Return the tables for a terminal."""
    before, after = comparison.before, comparison.after
    parts = [f'before: {summary(before)}', f'after: {summary(after)}']
    change = verdict(comparison)
    if change:
        parts.append(change)
    if before.depth and after.depth:
        for scaling in Scaling:
            table = tables.depth_change_table(
                before.depth[0], after.depth[0], after.depth[1:], scaling)
            parts.append(f'{scaling.value}:\n{table.to_text()}')
        parts.append(_scale_table(comparison).to_text())
        boundaries = _boundary_table(comparison)
        if boundaries.rows:
            parts.append(boundaries.to_text())
    masks = tables.mask_change_table(before.masks, after.masks)
    if masks.rows:
        parts.append(masks.to_text())
    if before.confidence and after.confidence:
        table = tables.confidence_change_table(before.confidence, after.confidence)
        parts.append(table.to_text())
    if before.motion and after.motion:
        parts += [tables.motion_change_table(before.motion, after.motion).to_text(),
                  tables.motion_caption(after.motion)]
    return '\n\n'.join([*parts, *_remarks(comparison)])


def comparison_to_page(comparison: Comparison) -> Page:
    """Return the page: the verdict, figures, scale and errors over time, paths, frames."""
    before, after = comparison.before, comparison.after
    page = Page(f'{before.spec.name} before, {after.spec.name} after, on {after.bag}')
    change = verdict(comparison)
    if change:
        page.add(report.lead(change))
    page.add(report.note(f'Before: {summary(before)}.'), report.note(f'After: {summary(after)}.'))
    if before.depth and after.depth:
        page.add(*_depth_parts(comparison), *_scale_parts(comparison),
                 *boundary_parts(_boundary_table(comparison)))
    page.add(*mask_parts(tables.mask_change_table(before.masks, after.masks), after.mask_topic))
    if before.confidence and after.confidence:
        page.add(*_confidence_parts(before.confidence, after.confidence))
    page.add(*(report.note(remark) for remark in _remarks(comparison)))
    page.add(*_motion_parts(comparison))
    if comparison.frames:
        page.add(report.heading('Frames'), report.note(
            'The frames with the largest error after, and those that gained and lost most, by '
            'AbsRel after median scaling. Depth and truth of a frame share their colours.'))
    for frame in comparison.frames:
        page.add(*_frame_parts(frame, after.protocol))
    return page


def verdict(comparison: Comparison) -> str:
    """In one sentence what changed of depth; '' where the models share no figure of it."""
    before, after = comparison.before, comparison.after
    parts, guesses = [], []
    if before.depth and after.depth:
        parts += _depth_changes(before.depth[0], after.depth[0])
        guesses = [score.median_scaled.abs_rel for score in after.depth[1:]]
    if before.masks and after.masks:
        recalls = (before.masks.recall, after.masks.recall)
        parts.append(f'mask recall {_change(*recalls, decimals=4)}')
    if not parts:
        return ''
    text = '; '.join(parts) + '.'
    text = text[0].upper() + text[1:]
    return f'{text} The best guess without a network has {min(guesses):.3f}.' if guesses else text


def _depth_changes(before: DepthScores, after: DepthScores) -> list[str]:
    """What changed against true depth, a figure each."""
    parts = [f'AbsRel after median scaling {_change(*_abs_rel(before, after, Scaling.MEDIAN))}']
    unscaled = _abs_rel(before, after, Scaling.NONE)
    if None not in unscaled:
        parts.append(f'as it comes {_change(*unscaled)}')
    plain = [score.plain_abs_rel(Scaling.MEDIAN) for score in (before, after)]
    if None not in plain:
        parts.append(f'on the plainest tenth {_change(*plain)}')
    spread = [score.stability.relative_std for score in (before, after)]
    parts.append(f'spread of scale {_change(*spread)}')
    if before.boundaries and after.boundaries:
        f1 = (before.boundaries.f1, after.boundaries.f1)
        parts.append(f'boundary F1 {_change(*f1, decimals=4)}')
    return parts


def _abs_rel(before: DepthScores, after: DepthScores,
             scaling: Scaling) -> tuple[float | None, float | None]:
    first, second = (score.metrics(scaling) for score in (before, after))
    return (first.abs_rel if first else None, second.abs_rel if second else None)


def _change(before: float | None, after: float | None, *, decimals: int = 3) -> str:
    """Two figures and by how much the second is lower or higher."""
    assert before is not None
    assert after is not None
    text = f'{before:.{decimals}f} → {after:.{decimals}f}'
    share = abs(after - before) / before if before else 0.0
    if share < 0.005:
        return text
    return f'{text} ({share:.0%} {"lower" if after < before else "higher"})'


def _remarks(comparison: Comparison) -> list[str]:
    """Those of both models, each once."""
    return list(dict.fromkeys([*comparison.before.remarks, *comparison.after.remarks]))


def _scale_table(comparison: Comparison) -> tables.Table:
    before, after = comparison.before.depth, comparison.after.depth
    return tables.scale_change_table(before[0], after[0], after[1:])


def _boundary_table(comparison: Comparison) -> tables.Table:
    before, after = comparison.before.depth, comparison.after.depth
    return tables.boundary_change_table(before[0], after[0], after[1:])


def _depth_parts(comparison: Comparison) -> list[Html]:
    before, after = comparison.before.depth[0], comparison.after.depth[0]
    parts = [report.heading('Depth')]
    for scaling, title in ((Scaling.MEDIAN, 'After median scaling'),
                           (Scaling.NONE, 'As it comes, no scaling')):
        table = tables.depth_change_table(before, after, comparison.after.depth[1:], scaling)
        if table.rows:
            parts += [report.subheading(title), table.to_html()]
    parts.append(report.note(f'{rules(comparison.after)} {PLAIN_NOTE} Guesses use no network.'))
    if before.images > 1:
        series = [_over_frames(name, score, lambda frame: frame.abs_rel)
                  for name, score in (('before', before), ('after', after))]
        parts.append(plots.line_plot(series, 'frame', 'AbsRel, median-scaled'))
    return parts


def _scale_parts(comparison: Comparison) -> list[Html]:
    before, after = comparison.before.depth[0], comparison.after.depth[0]
    parts = [report.heading('Scale'), _scale_table(comparison).to_html(), report.note(
        'What median scaling hides: the factor median(truth) / median(prediction) of each image, '
        '1 where metres are right, and its standard deviation in units of its median.')]
    if before.images > 1:
        series = [_relative_factors('before', before), _relative_factors('after', after)]
        parts.append(plots.line_plot(series, 'frame', 'factor / its median'))
    return parts


def _confidence_parts(before: ConfidenceCurve, after: ConfidenceCurve) -> list[Html]:
    lines = [confidence_line(name, curve, Scaling.MEDIAN, _COLOURS[name])
             for name, curve in (('before', before), ('after', after))]
    return [report.heading('Confidence'),
            tables.confidence_change_table(before, after).to_html(),
            report.note(CONFIDENCE_NOTE),
            plots.line_plot(lines, CONFIDENCE_AXIS, 'AbsRel, median-scaled')]


def _relative_factors(name: str, score: DepthScores) -> plots.Series:
    median = score.stability.median_ratio
    return _over_frames(name, score, lambda frame: frame.ratio / median)


def _over_frames(name: str, score: DepthScores,
                 value: Callable[[FrameScore], float]) -> plots.Series:
    return plots.Series(name, np.array([frame.index for frame in score.frames]),
                        np.array([value(frame) for frame in score.frames]), _COLOURS[name])


def _motion_parts(comparison: Comparison) -> list[Html]:
    before, after = comparison.before, comparison.after
    known = [(name, model) for name, model in (('before', before), ('after', after))
             if model.motion is not None and model.paths is not None]
    if not known:
        return []
    parts = [report.heading('Egomotion')]
    if before.motion and after.motion:
        parts.append(tables.motion_change_table(before.motion, after.motion).to_html())
    else:
        parts.append(_only_motion(known[0][0], known[0][1]))
    last = known[-1][1]
    assert last.motion is not None
    assert last.paths is not None
    paths = [(name, model.paths) for name, model in known if model.paths is not None]
    return [*parts, report.note(tables.motion_caption(last.motion)),
            path_plot(last.paths, paths)]


def _only_motion(name: str, model: Evaluation) -> Html:
    assert model.motion is not None
    table = tables.motion_table(model.motion)
    table.rows[0] = (name, *table.rows[0][1:])
    return table.to_html()


def _frame_parts(frame: ChosenFrame, protocol: DepthProtocol) -> list[Html]:
    """Two rows: image, truth, depths; plain pixels, change, errors."""
    image, truth_m = frame.image, frame.truth_m
    limits = shown_range(truth_m)
    depths, errors, relative = [], [], []
    for name, depth_m, score in (('before', frame.before_m, frame.before),
                                 ('after', frame.after_m, frame.after)):
        scaled_m = score.ratio * depth_m
        error = relative_error(scaled_m, truth_m, protocol.counted(truth_m, scaled_m))
        relative.append(error)
        depths.append(depth_picture(scaled_m, limits, f'{name}, x {score.ratio:.3f}'))
        errors.append(error_picture(error, image, f'error {name}: AbsRel {score.abs_rel:.3f}, '
                                                  f'white {LARGEST_SHOWN_ERROR:.0%} or more'))
    change = change_picture(
        relative[0], relative[1], image,
        f'change of the error: blue better, red worse, full at {LARGEST_SHOWN_CHANGE:.0%}')
    reasons = ', '.join(reason.value for reason in frame.reasons)
    plain = mask_picture(frame.plain, image, f'the plainest {PLAIN_SHARE:.0%} with truth')
    return [
        report.subheading(f'Frame {frame.index}: {reasons}'),
        report.pictures([Picture(image, f'frame {frame.index}: input'),
                         truth_picture(truth_m, limits, image), *depths], columns=4),
        report.pictures([plain, change, *errors], columns=4),
    ]
