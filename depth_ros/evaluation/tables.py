"""The figures of an evaluation as tables of text, for a terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from depth_ros.evaluation.alignment import Alignment
from depth_ros.evaluation.confidence_curve import ConfidenceCurve
from depth_ros.evaluation.depth_scores import DepthScores
from depth_ros.evaluation.mask_scores import MaskScores
from depth_ros.evaluation.motion_scores import WITH_UNIT, MotionEvaluation, MotionScores
from depth_ros.evaluation.protocol import Scaling
from depth_ros.evaluation.report import Html, Tone
from depth_ros.evaluation.report import table as html_table

NONE = '–'
"""Stands in the cell of a figure that there is not."""
CHANGE = 'change'
"""Names the row of differences."""


@dataclass(frozen=True)
class Column:
    """A column of figures.

    Attributes:
        name: what stands above it.
        decimals: of its figures.
        better: 1 where more is better, -1 where less is, 0 where neither is.
        percent: whether figures are shares.
    """

    name: str
    decimals: int = 3
    better: int = -1
    percent: bool = False

    def text(self, value: float | None, signed: bool = False) -> str:
        """A figure as it stands in its cell."""
        if value is None:
            return NONE
        kind = '%' if self.percent else 'f'
        if abs(value) < self._smallest_shown:
            value = 0.0  # no minus before nothing
        return f'{value:{"+" if signed else ""}.{self.decimals}{kind}}'

    def tone(self, difference: float | None) -> Tone:
        """Whether a difference is good; one that is not seen in its cell is neither."""
        if difference is None or abs(difference) < self._smallest_shown or self.better == 0:
            return Tone.PLAIN
        return Tone.GOOD if difference * self.better > 0 else Tone.BAD

    @property
    def _smallest_shown(self) -> float:
        """Less than this is nothing in a cell."""
        return 10.0 ** -(self.decimals + (2 if self.percent else 0)) / 2


@dataclass
class Table:
    """Rows of figures below their columns, added one by one; the first cell of a row names it."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    tones: dict[tuple[int, int], Tone] = field(default_factory=dict)
    """Of cells, by row and column; the column of names counts as the first."""

    strong: list[int] = field(default_factory=list)
    """Rows that stand out."""

    def add(self, name: str, values: Sequence[float | None]) -> None:
        """Add a row of figures."""
        self.rows.append((name, *(c.text(v) for c, v in zip(self.columns, values))))

    def add_change(self, before: Sequence[float | None], after: Sequence[float | None]) -> None:
        """Add a row of what the second row of figures has more than the first."""
        differences = [
            None if b is None or a is None else a - b for b, a in zip(before, after)
        ]
        for index, (column, difference) in enumerate(zip(self.columns, differences), 1):
            self.tones[len(self.rows), index] = column.tone(difference)
        self.rows.append(
            (CHANGE, *(c.text(d, signed=True) for c, d in zip(self.columns, differences)))
        )

    @property
    def header(self) -> tuple[str, ...]:
        """What stands above the columns, that of names included."""
        return ('', *(column.name for column in self.columns))

    def to_text(self) -> str:
        """The table as lines, the first column to the left and the others right."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        return '\n'.join(
            '  '.join([line[0].ljust(widths[0]),
                       *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
            for line in lines)

    def to_html(self) -> Html:
        """The table as a piece of a page."""
        return html_table(self.header, self.rows, self.strong, self.tones)


_DEPTH_COLUMNS = (
    Column('AbsRel'), Column('AbsRel plain'), Column('SqRel'), Column('RMSE'),
    Column('RMSElog'), Column('log10'), Column('d1', better=1), Column('d2', better=1),
    Column('d3', better=1), Column('SILog', decimals=1), Column('MAE'),
)  # fmt: skip
_SCALE_COLUMNS = (
    Column('images', decimals=0, better=0), Column('pixels covered', 1, 0, percent=True),
    Column('median ratio', better=0), Column('relative std'),
)  # fmt: skip
_BOUNDARY_COLUMNS = (
    # Small networks find few contours to the pixel: three decimals would hide their differences.
    Column('images with contours', decimals=0, better=0), Column('boundary F1', 4, better=1),
    Column('precision', 4, better=1), Column('recall', 4, better=1),
)  # fmt: skip
_MASK_COLUMNS = (
    Column('masks with an outline', decimals=0, better=0), Column('mask recall', 4, better=1),
)  # fmt: skip
_CONFIDENCE_COLUMNS = (
    Column('confidence from', 2, better=0), Column('to', 2, better=0),
    Column('AbsRel, median-scaled'), Column('AbsRel, no scaling'),
)  # fmt: skip
_CONFIDENCE_CHANGE_COLUMNS = tuple(
    Column(f'AbsRel, {scaling.value}, {model}')
    for scaling in Scaling
    for model in ('before', 'after')
)
_FIFTH_NAMES = ('least confident fifth', 'second', 'third', 'fourth', 'most confident fifth')
_MOTION_COLUMNS = (
    *(Column(f'ATE {alignment.value} [m]') for alignment in WITH_UNIT),
    Column('ATE scale / path', 1, percent=True), Column('RPE [m]'), Column('RPE [deg]'),
    Column('RPE [m/s]'), Column('RPE [deg/s]'), Column('direction [deg]', 1),
)  # fmt: skip


def depth_table(scores: Sequence[DepthScores], headline: Scaling) -> Table:
    """Metrics of a model, the first, and guesses, with the scale of each image and without.

    The model's row after the `headline` scaling stands out.
    """
    table = Table(_DEPTH_COLUMNS)
    for scaling in Scaling:
        for score in scores:
            values = _depth_values(score, scaling)
            if values is not None:
                if score is scores[0] and scaling is headline:
                    table.strong.append(len(table.rows))
                table.add(f'{score.name}, {scaling.value}', values)
    return table


def depth_change_table(
    before: DepthScores, after: DepthScores, guesses: Sequence[DepthScores], scaling: Scaling
) -> Table:
    """Metrics of two models, their differences and the guesses, after one scaling."""
    table = Table(_DEPTH_COLUMNS)
    _add_both(table, *(_depth_values(score, scaling) for score in (before, after)))
    for score in guesses:
        values = _depth_values(score, scaling)
        if values is not None:
            table.add(score.name, values)
    return table


def scale_table(scores: Sequence[DepthScores], motion: MotionEvaluation | None) -> Table:
    """What scaling hides: the factor of the images, that of the translations, their spread."""
    table = Table(_SCALE_COLUMNS)
    for score in scores:
        table.add(score.name, _scale_values(score))
    if motion is not None and motion.model.length is not None:
        length = motion.model.length
        table.add('model, translations', [None, None, length.median_ratio, length.relative_std])
    return table


def scale_change_table(
    before: DepthScores, after: DepthScores, guesses: Sequence[DepthScores]
) -> Table:
    """The same of two models, their differences and the guesses."""
    table = Table(_SCALE_COLUMNS)
    _add_both(table, _scale_values(before), _scale_values(after))
    for score in guesses:
        table.add(score.name, _scale_values(score))
    return table


def boundary_table(scores: Sequence[DepthScores]) -> Table:
    """How well edges of a model, the first, and of guesses stand; no rows without contours."""
    table = Table(_BOUNDARY_COLUMNS)
    _add_boundaries(table, scores)
    return table


def boundary_change_table(
    before: DepthScores, after: DepthScores, guesses: Sequence[DepthScores]
) -> Table:
    """The same of two models, their differences and the guesses."""
    table = Table(_BOUNDARY_COLUMNS)
    _add_both(table, _boundary_values(before), _boundary_values(after))
    _add_boundaries(table, guesses)
    return table


def mask_table(scores: MaskScores | None) -> Table:
    """How well a model's edges follow the outlines of masks; no rows without outlines."""
    table = Table(_MASK_COLUMNS)
    if scores is not None:
        table.add('model', _mask_values(scores))
    return table


def mask_change_table(before: MaskScores | None, after: MaskScores | None) -> Table:
    """The same of two models, and their differences."""
    table = Table(_MASK_COLUMNS)
    _add_both(table, *(None if scores is None else _mask_values(scores)
                       for scores in (before, after)))
    return table


def confidence_table(curve: ConfidenceCurve) -> Table:
    """Error of each fifth of the judged pixels, and of those without a confidence."""
    table = Table(_CONFIDENCE_COLUMNS)
    for name, band in zip(_FIFTH_NAMES, curve.fifths):
        table.add(name, [band.lowest, band.highest, band.median_scaled_abs_rel,
                         band.unscaled_abs_rel])
    if curve.rest_median_scaled_abs_rel is not None:
        table.add('not judged', [None, None, curve.rest_median_scaled_abs_rel, None])
    return table


def confidence_change_table(before: ConfidenceCurve, after: ConfidenceCurve) -> Table:
    """Error of each fifth of what two models are more and less confident of."""
    table = Table(_CONFIDENCE_CHANGE_COLUMNS)
    for name, *bands in zip(_FIFTH_NAMES, before.fifths, after.fifths):
        table.add(name, [band.abs_rel(scaling) for scaling in Scaling for band in bands])
    rests = [curve.rest_median_scaled_abs_rel for curve in (before, after)]
    if rests != [None, None]:
        table.add('not judged', [*rests, None, None])
    return table


def motion_table(motion: MotionEvaluation) -> Table:
    """Errors of a model's path and of the guesses."""
    table = Table(_MOTION_COLUMNS)
    for scores in (motion.model, *motion.guesses):
        table.add(scores.name, _motion_values(scores))
    return table


def motion_change_table(before: MotionEvaluation, after: MotionEvaluation) -> Table:
    """Errors of two models' paths, their differences and the guesses."""
    table = Table(_MOTION_COLUMNS)
    _add_both(table, _motion_values(before.model), _motion_values(after.model))
    for scores in after.guesses:
        table.add(scores.name, _motion_values(scores))
    return table


def motion_caption(motion: MotionEvaluation) -> str:
    """How the figures of a motion table were made."""
    pairing = motion.pairing
    return (f'Path of {motion.path_m:.2f} m over {motion.frames} frames. RPE and the median '
            f'direction error are over pairs {pairing.step} frames apart, RPE per second over '
            f'{pairing.second}, after {pairing.alignment.value} alignment of the whole path '
            '(straight ahead: scale), without pairs that span a hole in the truth. '
            '"Straight ahead" is constant motion along the optical axis; '
            '"previous true motion" repeats the true pair before.')


def _add_both(
    table: Table, before: Sequence[float | None] | None, after: Sequence[float | None] | None
) -> None:
    for name, values in (('before', before), ('after', after)):
        if values is not None:
            table.add(name, values)
    if before is not None and after is not None:
        table.add_change(before, after)


def _depth_values(score: DepthScores, scaling: Scaling) -> list[float | None] | None:
    metrics = score.metrics(scaling)
    if metrics is None:
        return None
    return [metrics.abs_rel, score.plain_abs_rel(scaling), metrics.sq_rel, metrics.rmse,
            metrics.rmse_log, metrics.log10, metrics.d1, metrics.d2, metrics.d3, metrics.silog,
            metrics.mae]


def _scale_values(score: DepthScores) -> list[float | None]:
    stability = score.stability
    return [score.images, score.coverage, stability.median_ratio, stability.relative_std]


def _add_boundaries(table: Table, scores: Sequence[DepthScores]) -> None:
    for score in scores:
        values = _boundary_values(score)
        if values is not None:
            table.add(score.name, values)


def _boundary_values(score: DepthScores) -> list[float | None] | None:
    boundaries = score.boundaries
    if boundaries is None:
        return None
    return [boundaries.images, boundaries.f1, boundaries.precision, boundaries.recall]


def _mask_values(scores: MaskScores) -> list[float | None]:
    return [scores.images, scores.recall]


def _motion_values(scores: MotionScores) -> list[float | None]:
    errors = {position.alignment: position for position in scores.positions}
    ates = [errors[kind].rmse if kind in errors else None for kind in WITH_UNIT]
    share = errors[Alignment.SCALE].path_share if errors else None
    relative: list[float | None] = []
    for error in (scores.pair, scores.per_second):
        relative += [None, None] if error is None else [error.translation_rmse,
                                                        error.rotation_rmse_deg]
    return [*ates, share, *relative, scores.direction_median_deg]
