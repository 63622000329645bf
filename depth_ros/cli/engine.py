"""Build TensorRT engines of a model, verify them, and look after the cache that keeps them.

The node builds what it needs by itself; this does it beforehand, where minutes do not matter, or
for GPUs that are elsewhere (TensorRT-RTX builds for others, also on a machine without a GPU).

  depth_ros engine lite0                                        for the GPU that is here
  depth_ros engine lite0 --target sm_89 sm_120 --out engines    for others: a folder each
  depth_ros engine lite0 --install engines/sm_89                there: verify and keep them
  depth_ros engine --list
  depth_ros engine --prune 1024                                 keep 1024 MiB of those used last
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

from depth_ros.backends.engines.building import build_engine
from depth_ros.backends.engines.cache import (
    SUFFIX,
    EngineCache,
    EngineKey,
    KeptEngine,
    graph_sha256,
    pack_engine,
)
from depth_ros.backends.engines.library import find_library
from depth_ros.backends.engines.opening import Machine, install_engine, make_record, open_engine
from depth_ros.backends.options import BackendOptions, EngineOptions
from depth_ros.backends.parity import ParityCase, depth_case, motion_case
from depth_ros.cli.options import add_engine_options, engine_options_of
from depth_ros.cli.progress import PrintedLoading
from depth_ros.errors import BackendError, ConfigError
from depth_ros.model_folder.model import Model
from depth_ros.system.whole_files import write_whole

NAME = 'engine'
HELP = 'build and verify TensorRT engines of a model, list and prune the kept ones'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('model', nargs='?', metavar='MODEL', help='model folder or name')
    what = parser.add_mutually_exclusive_group()
    what.add_argument('--target', nargs='+', metavar='SM', default=[],
                      help='build for these compute capabilities (sm_75 to sm_121) instead of '
                           'the GPU here, into --out')
    what.add_argument('--install', type=Path, metavar='FOLDER',
                      help='take over engines built elsewhere; they are code that will run here')
    what.add_argument('--rebuild', action='store_true',
                      help='forget the kept engines of the model, and refusals of wrong ones')
    what.add_argument('--list', action='store_true', help='tell the kept engines')
    what.add_argument('--prune', type=int, metavar='MIB',
                      help='remove the engines not used for longest, but for so many MiB; 0: all')
    parser.add_argument('--out', type=Path, metavar='FOLDER', help='of --target')
    group = parser.add_argument_group('engine')
    add_engine_options(group)
    group.add_argument('--max-batch', type=int, default=1, metavar='N',
                       help='most frames of one run, which for the node is its number of cameras '
                            '(default: %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Do one of these things; 0 where it was done."""
    if args.list or args.prune is not None:
        _look_after(EngineCache(), args.prune)
        return 0
    if args.model is None:
        raise ConfigError('give a MODEL, or --list or --prune')
    if bool(args.target) != (args.out is not None):
        raise ConfigError('--target and --out go together: engines for other GPUs are files')
    model = Model.load(args.model)
    options = dataclasses.replace(engine_options_of(args), max_batch=args.max_batch)
    if args.target:
        for target in args.target:
            _build_for(target, model, options, args.out / target)
    elif args.install is not None:
        _install(args.install, model)
    else:
        _build_here(model, options, rebuild=args.rebuild)
    return 0


def _graphs(model: Model) -> dict[Path, Callable[[], ParityCase]]:
    """The graphs of a model, and what their engines are verified by."""
    graphs = {model.depth_path: lambda: depth_case(model)}
    if model.pose_path is not None:
        graphs[model.pose_path] = lambda: motion_case(model)
    return graphs


def _build_here(model: Model, options: EngineOptions, *, rebuild: bool) -> None:
    loading = PrintedLoading()
    machine, cache = Machine.find(), EngineCache()
    for path, case in _graphs(model).items():
        key = machine.key(path, options)
        if rebuild:
            cache.forget(key, path.name)
        engine = open_engine(path, BackendOptions(engine=options), case, loading)
        with closing(engine) as backend:
            backend.warm_up()
            print(f'{path.name}: {backend.description}')
            if backend.caveat:
                print(f'  {backend.caveat}')
    names = {path.name: machine.key(path, options) for path in _graphs(model)}
    for kept in cache.engines():
        if names.get(kept.record.graph) == kept.record.key:
            print(_described(kept))


def _build_for(target: str, model: Model, options: EngineOptions, folder: Path) -> None:
    library, loading = find_library(), PrintedLoading()
    for path in _graphs(model):
        started = time.monotonic()
        built = build_engine(library, path, options, loading, target=target)
        seconds = time.monotonic() - started
        key = EngineKey(graph_sha256(path), library.flavour.value, library.version, target,
                        target, options)  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        out = folder / f'{path.stem}{SUFFIX}'
        write_whole(out, pack_engine(make_record(key, path, seconds), built.engine))
        print(f'{out}: {len(built.engine) / 1e6:.1f} MB, {library} for {target}, built in '
              f'{seconds:.1f} s; not verified: that is done where it is installed')


def _install(folder: Path, model: Model) -> None:
    for path, case in _graphs(model).items():
        file = folder / f'{path.stem}{SUFFIX}'
        if not file.is_file():
            raise BackendError(f'{folder} holds no {file.name}')
        kept = install_engine(file, path, case())
        print(f'{file}: verified, kept as {kept}')


def _look_after(cache: EngineCache, keep_mib: int | None) -> None:
    if keep_mib is not None:
        if keep_mib < 0:
            raise ConfigError(f'--prune is {keep_mib}, allowed: 0 or more MiB')
        for path in cache.prune(keep_mib << 20):
            print(f'removed {path}')
        return
    engines = cache.engines()
    for kept in engines:
        print(_described(kept))
    total = sum(kept.size for kept in engines)
    print(f'{len(engines)} engines, {total / 1e6:.1f} MB, in {cache.folder}')


def _described(kept: KeptEngine) -> str:
    record = kept.record
    used = datetime.fromtimestamp(kept.used_s).isoformat(sep=' ', timespec='minutes')
    parity = 'not verified'
    if record.difference is not None:
        parity = (f'differs from ONNX Runtime by {record.difference:.1e}, allowed '
                  f'{record.allowed:.1e}')
    options = ', '.join(
        f'{name} {value}' for name, value in dataclasses.asdict(record.key.options).items()
    )
    return (
        f'{record.model}/{record.graph}: {record.key.flavour} {record.key.version}, '
        f'{record.key.gpu} ({record.key.compute_capability}); {parity}\n'
        f'    {kept.size / 1e6:.1f} MB, built {record.built} in {record.seconds:.0f} s, last used '
        f'{used}; {options}\n    {kept.path}'
    )
