"""Colours alone against colours and learnt features, and every loss term left out once.

Trains each variant with several seeds on the same bags, with the same backbone and steps, judges
it on other frames, and puts beside it guesses that use no network. Runs that are already in the
folder are taken from there: a comparison that was interrupted goes on, and seeds or variants can
be added. Writes index.html and results.json.

    python -m benchmarks.methods --train kitchen:0-280 --judge kitchen --first 280 --out methods \
        --seeds 3 --set run.epochs=12 --set run.steps_per_epoch=50
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from depth_ros.errors import DepthRosError
from depth_ros.evaluation import report
from depth_ros.evaluation.pages import PLAIN_NOTE
from depth_ros.evaluation.report import Page
from depth_ros.evaluation.tables import Column, Table
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.system.whole_files import write_whole


@dataclass(frozen=True)
class Variant:
    """A preset with some of its values changed."""

    name: str
    preset: str
    settings: tuple[str, ...] = ()


_FREE = ('out', 'seeds', 'only', 'threads')
"""Arguments that may change from call to call."""
VARIANTS = (
    Variant('lite0', 'lite0'),
    Variant('lite0_features', 'lite0_features'),
    Variant('without feature-metric loss', 'lite0_features', ('loss.feature_metric=0',)),
    Variant('without photometric loss and smoothness', 'lite0_features',
            ('loss.photometric=0',)),
    Variant('without automask', 'lite0_features', ('loss.automask=false',)),
    Variant('without rounding off at zero', 'lite0_features', ('loss.robust=false',)),
    Variant('without smoothness', 'lite0_features', ('loss.smoothness=0',)),
    Variant('smoothness of both orders, 1e-3', 'lite0_features',
            ('loss.first_order=true', 'loss.smoothness=1e-3')),
    Variant('without discriminative loss', 'lite0_features', ('features.discriminative=0',)),
    Variant('without convergent loss', 'lite0_features', ('features.convergent=0',)),
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """Errors on the judged frames, mean of the bags.

    Attributes:
        abs_rel: after median scaling.
        plain: the same over the tenth of the pixels with the least image gradient.
        unscaled: AbsRel as the model says it; None where it knows no metres.
        scale_spread: standard deviation of the frames' scale over its mean.
        d1: after median scaling.
    """

    abs_rel: float
    plain: float | None
    unscaled: float | None
    scale_spread: float | None
    d1: float


@dataclass(frozen=True)
class Judged:
    """What to judge by.

    Attributes:
        bags: to judge by.
        first: the frame of each from which on; the guesses know those before it.
        known: other bags that the guesses know.
    """

    bags: tuple[Path, ...]
    first: int
    known: tuple[Path, ...]


@dataclass(frozen=True)
class Row:
    """A line of the table: figures of every seed."""

    name: str
    figures: tuple[Figures, ...]


def main() -> int:
    """Train what is missing, judge, write."""
    args = _parse()
    try:
        _compare(args)
    except DepthRosError as error:
        print(f'methods: error: {error}', file=sys.stderr)
        return 1
    return 0


def _compare(args: argparse.Namespace) -> None:
    _hold_conditions(args)
    judged = Judged(tuple(args.judge), args.first, tuple(args.known))
    variants = [one for one in VARIANTS if not args.only or one.name in args.only]
    jobs = [(variant, seed) for seed in range(args.seeds) for variant in variants]
    results = {job: _run(*job, args, judged) for job in jobs}
    rows = [
        Row(variant.name, tuple(Figures(**results[variant, seed]['model']) for seed in
                                range(args.seeds)))
        for variant in variants
    ]
    guesses = results[jobs[0]]['guesses']
    rows += [Row(name, (Figures(**values),)) for name, values in guesses.items()]
    table = _table(rows)
    print(table.to_text())
    page = Page('Learnt features beside colours')
    page.add(table.to_html(), report.note(_conditions(args)))
    page.write(args.out / 'index.html')
    write_whole(args.out / 'results.json', json.dumps([asdict(row) for row in rows], indent=2))


def _hold_conditions(args: argparse.Namespace) -> None:
    """Note what all runs of the folder have in common.

    Raises:
        DepthRosError: the folder holds runs under other conditions.
    """
    given = {name: [str(one) for one in value] if isinstance(value, list) else str(value)
             for name, value in vars(args).items() if name not in _FREE}  # fmt: skip
    path: Path = args.out / 'conditions.json'
    if path.exists():
        changed = [name for name, value in json.loads(path.read_text()).items()
                   if given[name] != value]  # fmt: skip
        if changed:
            raise DepthRosError(f'the runs in {args.out} had another --{changed[0]}; give another '
                                '--out')
        return
    args.out.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(given, indent=2))


def _run(variant: Variant, seed: int, args: argparse.Namespace, judged: Judged) -> dict[str, Any]:
    """Train and judge one model, unless that is done."""
    name = f'{variant.name.replace(" ", "_")}-{seed}'
    folder: Path = args.out / name
    result = folder / 'figures.json'
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f'{name} ...', flush=True)
        _train(variant, seed, args, folder)
        write_whole(result, json.dumps(_judge(folder / 'model', judged, args.threads)))
    figures: dict[str, Any] = json.loads(result.read_text())
    print(f'{name}: {figures["model"]}', flush=True)
    return figures


def _train(variant: Variant, seed: int, args: argparse.Namespace, folder: Path) -> None:
    command = ['train', '--preset', variant.preset, '--out', str(folder / 'model'),
               '--workdir', str(folder / 'run')]  # fmt: skip
    if (folder / 'run').exists():
        command.append('--resume')
    else:
        if args.init:
            command += ['--init', args.init]
        for bag in args.train:
            command += ['--bag', bag]
        for setting in (f'run.seed={seed}', f'run.threads={args.threads}',
                        'export.evaluate=false', *args.set, *variant.settings):  # fmt: skip
            command += ['--set', setting]
    _verb(command, folder / 'log', args.threads)


def _judge(model: Path, judged: Judged, threads: int) -> dict[str, Any]:
    """Figures of the model and of the guesses, means of the bags."""
    by_name: dict[str, list[Figures]] = {}
    for bag in judged.bags:
        command = ['evaluate', '--json', '--bag', str(bag), '--model', str(model),
                   '--first', str(judged.first), '--threads', str(threads)]  # fmt: skip
        if judged.known:
            command += ['--train-bags', *map(str, judged.known)]
        values = json.loads(_verb(command, model.parent / 'judging', threads))
        for scores in values['depth']:
            figures = _figures(scores)
            if scores['name'] == 'model' and values['spec']['scale'] != ScaleKind.METRIC.value:
                figures = replace(figures, unscaled=None)
            by_name.setdefault(scores['name'], []).append(figures)
    means = {name: asdict(_mean(figures)) for name, figures in by_name.items()}
    return {'model': means.pop('model'), 'guesses': means}


def _figures(scores: dict[str, Any]) -> Figures:
    plain, unscaled, stability = scores['plain'], scores['unscaled'], scores['stability']
    return Figures(
        abs_rel=scores['median_scaled']['abs_rel'],
        plain=plain and plain['median_scaled'],
        unscaled=unscaled and unscaled['abs_rel'],
        scale_spread=stability and stability['relative_std'],
        d1=scores['median_scaled']['d1'],
    )


def _mean(figures: Sequence[Figures]) -> Figures:
    rows = [asdict(one) for one in figures]
    return Figures(**{name: _known_mean([row[name] for row in rows]) for name in rows[0]})


def _known_mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _verb(arguments: list[str], log: Path, threads: int) -> str:
    """What a verb of depth_ros prints to its standard output.

    Raises:
        DepthRosError: it failed.
    """
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads), 'OMP_WAIT_POLICY': 'PASSIVE'}
    with log.open('w') as errors:
        ended = subprocess.run(
            [sys.executable, '-m', 'depth_ros', *arguments],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=environment, check=False,
        )  # fmt: skip
    if ended.returncode:
        raise DepthRosError(f'depth_ros {" ".join(arguments)} failed; see {log}')
    return ended.stdout


_COLUMNS = (
    Column('AbsRel'), Column('AbsRel plain'), Column('AbsRel unscaled'),
    Column('spread of scale', decimals=1, percent=True), Column('d1', better=1),
)  # fmt: skip


def _table(rows: Sequence[Row]) -> Table:
    table = Table(_COLUMNS)
    for row in rows:
        of_seeds = zip(*(astuple(figures) for figures in row.figures))
        cells = (_cell(column, values) for column, values in zip(_COLUMNS, of_seeds))
        table.rows.append((row.name, *cells))
    return table


def _cell(column: Column, of_seeds: Sequence[float | None]) -> str:
    """The mean, and where there are several seeds their standard deviation."""
    text = column.text(_known_mean(of_seeds))
    known = [value for value in of_seeds if value is not None]
    return f'{text} ± {column.text(stdev(known))}' if len(known) > 1 else text


def _conditions(args: argparse.Namespace) -> str:
    judged = ', '.join(bag.name for bag in args.judge)
    return (
        f'Trained on {len(args.train)} bags ({", ".join(map(str, args.train[:3]))} ...), judged '
        f'on {judged} from frame {args.first} on; {args.seeds} seeds, mean and standard '
        f'deviation; started from {args.init or "ImageNet"}; {" ".join(args.set)}. AbsRel and d1 '
        f'after median scaling. {PLAIN_NOTE}'
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--train', nargs='+', required=True, metavar='BAG[:FIRST-LAST]',
                        help='bags to train on, as depth_ros train takes them')
    parser.add_argument('--judge', nargs='+', required=True, type=Path, metavar='BAG',
                        help='bags to judge by')
    parser.add_argument('--first', type=int, default=0, help='first judged frame of each')
    parser.add_argument('--known', nargs='+', type=Path, default=[], metavar='BAG',
                        help='training bags that the guesses know')
    parser.add_argument('--out', type=Path, required=True, help='folder of runs and results')
    parser.add_argument('--init', metavar='MODEL', help='what every run starts from')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--only', nargs='+', choices=[one.name for one in VARIANTS], default=[],
                        metavar='VARIANT', help='some of: %(choices)s')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                        help='a setting of all variants, as of depth_ros train')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads of each run')
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
