"""List the models that can be named on the command line and in the node's `model` parameter."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from depth_ros.errors import ModelError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model, find_models

NAME = 'models'
HELP = 'list installed and user models with what their files say of themselves'


@dataclass(frozen=True)
class Listed:
    """A model found by name; `model` is None where it cannot be loaded, for the reason `error`."""

    name: str
    path: Path
    model: Model | None
    error: str = ''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments to its parser."""
    parser.add_argument('--json', action='store_true',
                        help='print one JSON list with every field of each spec')


def run(args: argparse.Namespace) -> int:
    """Print the models; the exit status is 1 where one of them cannot be loaded."""
    models = [_listed(name, path) for name, path in sorted(find_models().items())]
    if args.json:
        print(json.dumps([_as_json(listed) for listed in models], indent=2))
    elif models:
        print('\n\n'.join(_as_text(listed) for listed in models))
    else:
        print('no models: make one with `depth_ros train` or `depth_ros import`')
    return 1 if any(listed.model is None for listed in models) else 0


def _listed(name: str, path: Path) -> Listed:
    try:
        return Listed(name, path, Model.load(path))
    except ModelError as error:
        return Listed(name, path, None, str(error))


def _size_mb(model: Model) -> float:
    files = [model.depth_path] + ([model.pose_path] if model.pose_path else [])
    return round(sum(file.stat().st_size for file in files) / 1e6, 1)


def _as_json(listed: Listed) -> dict:
    entry = {'name': listed.name, 'path': str(listed.path),
             'default': listed.name == DEFAULT_MODEL}
    if listed.model is None:
        return {**entry, 'error': listed.error}
    return {**entry, 'size_mb': _size_mb(listed.model),
            'egomotion': listed.model.pose_path is not None,
            'spec': json.loads(listed.model.spec.to_json())}


def _as_text(listed: Listed) -> str:
    title = listed.name + (' (default)' if listed.name == DEFAULT_MODEL else '')
    if listed.model is None:
        return f'{title}\n  {listed.path}\n  cannot be loaded: {listed.error}'
    spec = listed.model.spec
    answers = 'depth and egomotion' if listed.model.pose_path else 'depth'
    return '\n  '.join([
        title,
        str(listed.path),
        f'{spec.family}, {spec.width}x{spec.height}, {spec.precision.value}, '
        f'{_size_mb(listed.model)} MB: {answers}',
        f'scale: {spec.scale.value} (from {spec.scale_source}), '
        f'depth {spec.min_depth:g} to {spec.max_depth:g}',
        f'licence: {spec.licence}',
        f'made by: {spec.training_run}',
    ])
