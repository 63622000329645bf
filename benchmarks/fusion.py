"""What each crop ratio costs and brings when depth is combined in the Fourier domain.

Fits the combination on bags with true depth, judges every candidate alone and combinations of one
to nine ratios on others, and times the graph of each combination in turns. Depth is compared on
the grid of the combination, without any scaling.

    python -m benchmarks.fusion --model lite0 --fit rooms/[0-9]* --judge rooms/u* --out fusion.json
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx
import torch

from benchmarks.processor import processor_name
from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.fit_fusion import parse_size
from depth_ros.cli.train import parse_bag
from depth_ros.errors import BagError, DepthRosError
from depth_ros.evaluation.metrics import depth_metrics
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ModelSpec
from training.data.cache import default_cache_root, open_cache
from training.fusion.combination import FourierCombination
from training.fusion.corner_crops import PAPER_RATIOS, Candidates
from training.fusion.cropped_network import (
    CroppedNetwork,
    KnownFrame,
    cache_settings,
    known_frames,
)
from training.fusion.fit import CombinationFit
from training.fusion.fit_fusion import (
    FrameWeight,
    FusionSettings,
    add_bags,
    combined_graph,
    combined_spec,
)

RATIOS = ((1.0,), (1.0, 0.8), (1.0, 0.8, 0.6), (1.0, 0.9, 0.8, 0.7, 0.6), PAPER_RATIOS)


@dataclass(frozen=True)
class Errors:
    """Mean over the judged frames; rmse_m in metres."""

    rmse_m: float
    abs_rel: float
    d1: float


@dataclass(frozen=True)
class CandidateRow:
    """One candidate alone."""

    ratio: float
    mirrored: bool
    errors: Errors


@dataclass(frozen=True)
class CombinationRow:
    """Several ratios combined: what they cost a frame and what they bring."""

    ratios: tuple[float, ...]
    crops: int
    ridge: float | None
    """See Shrinkage; None: all frequencies share their weights."""
    bias: float
    ms: float
    errors: Errors


@dataclass(frozen=True)
class Result:
    """What the run came to."""

    model: str
    fitted_on: int
    judged_on: int
    machine: str
    threads: int
    alone_ms: float
    """Of the network asked once, by the same runtime."""
    candidates: tuple[CandidateRow, ...]
    combinations: tuple[CombinationRow, ...]


class Judge:
    """Errors of several depths of the same frames."""

    def __init__(self, count: int) -> None:
        self._rows: list[list[Errors]] = [[] for _ in range(count)]

    def add(self, depths: np.ndarray, truth: np.ndarray) -> None:
        """Depths [count,N1,N2] and truth [N1,N2], NaN where unknown."""
        for rows, depth in zip(self._rows, depths):
            found = depth_metrics(truth, depth.clip(1e-3), np.isfinite(truth))
            if found is not None:
                rows.append(Errors(found.rmse, found.abs_rel, found.d1))

    def errors(self) -> list[Errors]:
        """Means over the frames."""
        return [
            Errors(*(statistics.fmean(getattr(row, name) for row in rows)
                     for name in ('rmse_m', 'abs_rel', 'd1')))
            for rows in self._rows
        ]  # fmt: skip


@dataclass(frozen=True)
class Bags:
    """What to fit on and what to judge by."""

    fit: tuple[str, ...]
    judge: tuple[str, ...]
    every: int
    """Of each judged bag one frame in so many is used."""


def measure(
    model: Model, bags: Bags, settings: FusionSettings, sets: tuple[tuple[float, ...], ...],
    rounds: int, threads: int,
) -> Result:  # fmt: skip
    """All of it.

    Raises:
        BagError: no frame with true depth.
        DepthRosError: a bag, model or graph is not usable.
    """
    candidates = Candidates(settings.ratios, settings.mirrored, settings.sizes(model.spec))
    outer = combined_spec(model.spec, candidates, 'fused', ())
    options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, threads)
    fit = CombinationFit(candidates)
    with closing(open_backend(model.depth_path, options)) as backend:
        network = CroppedNetwork(backend, candidates)

        sources = [parse_bag(text) for text in bags.fit]
        add_bags(fit, sources, outer, network, RectifyMode.AUTO, settings.frame_weight, _say)
        fits = [fit.restricted(ratios) for ratios in sets]
        shrinkages = [one.shrinkage(settings.max_bins, settings.ridge, settings.bias)
                      for one in fits]  # fmt: skip
        weights = [one.weights(settings.max_bins, shrinkage)
                   for one, shrinkage in zip(fits, shrinkages)]  # fmt: skip
        combinations = [FourierCombination(one) for one in weights]
        alone, combined = Judge(len(candidates)), Judge(len(sets))
        judged = 0
        for frame in _judged(bags, outer, network):
            alone.add(frame.candidates, frame.truth)
            chosen = [_of_ratios(frame.candidates, candidates, ratios) for ratios in sets]
            found = [combination(torch.from_numpy(one)[None])[0].numpy()
                     for combination, one in zip(combinations, chosen)]  # fmt: skip
            combined.add(np.stack(found), frame.truth)
            judged += 1
    if not judged:
        raise BagError('no frame with true depth to judge by')
    restricted = [Candidates(ratios, candidates.mirrored, candidates.sizes) for ratios in sets]
    graphs = [combined_graph(onnx.load(model.depth_path), outer, one, weight)
              for one, weight in zip(restricted, weights)]  # fmt: skip
    alone_ms, *times_ms = _times_ms(model, graphs, (outer.height, outer.width), rounds, options)
    each = 2 if candidates.mirrored else 1
    return Result(
        model=model.spec.name,
        fitted_on=fit.images,
        judged_on=judged,
        machine=processor_name(),
        threads=threads,
        alone_ms=alone_ms,
        candidates=tuple(
            CandidateRow(candidates.ratios[index // each], index % each == 1, errors)
            for index, errors in enumerate(alone.errors())
        ),
        combinations=tuple(
            CombinationRow(
                one.ratios,
                one.crop_count,
                None if math.isinf(drawn.ridge) else drawn.ridge,
                drawn.bias,
                ms,
                errors,
            )
            for one, drawn, ms, errors in zip(
                restricted, shrinkages, times_ms, combined.errors()
            )
        ),
    )


def _judged(bags: Bags, outer: ModelSpec, network: CroppedNetwork) -> Iterator[KnownFrame]:
    for text in bags.judge:
        source = cache_settings(parse_bag(text), outer, RectifyMode.AUTO)
        cache = open_cache(source, default_cache_root(), _say)
        yield from known_frames(cache, outer, network, bags.every)


def _of_ratios(
    maps: np.ndarray, candidates: Candidates, ratios: tuple[float, ...]
) -> np.ndarray:
    each = 2 if candidates.mirrored else 1
    kept = [each * candidates.ratios.index(r) + k for r in ratios for k in range(each)]
    return maps[kept]


def _times_ms(
    model: Model, graphs: list[onnx.ModelProto], size: tuple[int, int], rounds: int,
    options: BackendOptions,
) -> list[float]:  # fmt: skip
    """Median milliseconds of the model alone and of each graph, in turns."""
    random = np.random.default_rng(0)
    spec = model.spec
    pictures = [random.integers(0, 256, (1, spec.height, spec.width, 3), dtype=np.uint8)]
    pictures += [random.integers(0, 256, (1, *size, 3), dtype=np.uint8)] * len(graphs)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        paths = [model.depth_path]
        for number, graph in enumerate(graphs):
            paths.append(Path(folder) / f'{number}.onnx')
            onnx.save(graph, paths[-1])
        runs: list[Callable[[], object]] = []
        for path, picture in zip(paths, pictures):
            backend = opened.enter_context(closing(open_backend(path, options)))
            inputs = {'image': picture}
            if 'intrinsics' in backend.input_names:
                inputs['intrinsics'] = np.full((1, 4), 0.8 * picture.shape[2], np.float32)
            runs.append(lambda backend=backend, inputs=inputs: backend.run(inputs))
        taken: list[list[float]] = [[] for _ in runs]
        for _ in range(rounds):
            for run, times in zip(runs, taken):
                began = time.perf_counter()
                run()
                times.append(1e3 * (time.perf_counter() - began))
    return [statistics.median(times) for times in taken]


def show(result: Result) -> None:
    """Print the tables."""
    print(f'{result.model}: fitted on {result.fitted_on} frames, judged on {result.judged_on}; '
          f'{result.machine}, {result.threads} threads')  # fmt: skip
    print(f'\n{"candidate":>24s}{"RMSE [m]":>10s}{"AbsRel":>8s}{"d1":>7s}')
    for row in result.candidates:
        name = f'{row.ratio:.2f}{", mirrored" if row.mirrored else ""}'
        print(f'{name:>24s}{_errors(row.errors)}')
    print(f'\n{"ratios combined":>34s}{"crops":>7s}{"ms":>9s}{"RMSE [m]":>10s}{"AbsRel":>8s}'
          f'{"d1":>7s}{"ridge":>8s}{"bias":>6s}')  # fmt: skip
    print(f'{"the network alone":>34s}{1:7d}{result.alone_ms:9.1f}')
    for one in result.combinations:
        name = ' '.join(f'{ratio:g}' for ratio in one.ratios)
        name = name if len(name) < 33 else f'{one.ratios[0]:g} .. {one.ratios[-1]:g}'
        print(f'{name:>34s}{one.crops:7d}{one.ms:9.1f}{_errors(one.errors)}'
              f'{"shared" if one.ridge is None else f"{one.ridge:g}":>8s}{one.bias:6g}')


def _errors(errors: Errors) -> str:
    return f'{errors.rmse_m:10.3f}{errors.abs_rel:8.3f}{errors.d1:7.3f}'


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', required=True, help='folder or name')
    parser.add_argument('--fit', nargs='+', required=True, metavar='BAG[:FIRST-LAST]')
    parser.add_argument('--judge', nargs='+', required=True, metavar='BAG[:FIRST-LAST]')
    parser.add_argument('--every', type=int, default=1, help='judge one frame in so many')
    parser.add_argument('--ratios', type=float, nargs='+', default=PAPER_RATIOS,
                        help="of crops that are tried (default: the paper's nine)")
    parser.add_argument('--grid', type=parse_size, metavar='WxH', help='of the combination')
    parser.add_argument('--crop-from', type=parse_size, metavar='WxH')
    parser.add_argument('--max-bins', type=int)
    parser.add_argument('--frame-weight', type=FrameWeight, default=FrameWeight.RMSE)
    parser.add_argument('--ridge', type=float)
    parser.add_argument('--bias', type=float)
    parser.add_argument('--rounds', type=int, default=10, help='default: %(default)d')
    parser.add_argument('--threads', type=int, default=1, help='default: %(default)d')
    parser.add_argument('--out', type=Path, help='JSON to write')
    args = parser.parse_args()
    sets = tuple(one for one in RATIOS if set(one) <= set(args.ratios))
    settings = FusionSettings(
        tuple(args.ratios), image=args.crop_from, grid=args.grid, max_bins=args.max_bins,
        frame_weight=args.frame_weight, ridge=args.ridge, bias=args.bias,
    )
    try:
        result = measure(
            Model.load(args.model), Bags(tuple(args.fit), tuple(args.judge), args.every),
            settings, sets, args.rounds, args.threads,
        )  # fmt: skip
    except DepthRosError as error:
        print(f'fusion: error: {error}', file=sys.stderr)
        return 1
    show(result)
    if args.out is not None:
        args.out.write_text(json.dumps(asdict(result), indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
