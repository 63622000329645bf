"""A model folder: depth.onnx, where egomotion is known pose.onnx, samples.npz and checksums.

depth.onnx  `image` uint8 [N,H,W,3] RGB, for models of many cameras also `intrinsics` float32
            [N,4] (fx, fy, cx, cy in pixels of the input) -> `depth` float32 [N,h,w] along the
            optical axis, metres where the spec says so; the spec is in the file's metadata.
pose.onnx   `previous`, `current` uint8 [N,H,W,3] -> `motion` float32 [N,6], axis-angle [rad] then
            translation in the unit of the depth, previous_T_current in optical frames.
samples.npz a few frames and the training framework's answers: `image` [n,H,W,3], perhaps
            `intrinsics`, `depth` [n,h,w], and with a pose network `previous`, `current` and
            `motion` [n,6].
SHA256SUMS  what `sha256sum -c` reads; checked on loading where it is present.

A graph that tells the horizontal field of view has the output `fov_deg` float32 [N] too, and takes
the focal length from that where fx is 0. Above 2 GB the weights of a graph lie in one file beside
it, depth.onnx.data, which SHA256SUMS has to name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.errors import ModelError
from depth_ros.model_folder.npz import read_npz
from depth_ros.model_folder.onnx_metadata import read_data_files, read_metadata
from depth_ros.model_folder.spec import (
    METADATA_KEY,
    ModelSpec,
)

DEFAULT_MODEL = 'lite0'
DEPTH_FILE, POSE_FILE, SAMPLES_FILE = 'depth.onnx', 'pose.onnx', 'samples.npz'
_LARGEST_SAMPLES_BYTES = 1 << 30
CHECKSUMS_FILE = 'SHA256SUMS'
MODELS_VARIABLE = 'DEPTH_ROS_MODELS'
"""Environment variable: folders of models, separated as in PATH, searched first."""


@dataclass(frozen=True)
class Model:
    """A model folder whose files are complete and whose spec makes sense."""

    path: Path
    spec: ModelSpec
    depth_path: Path
    pose_path: Path | None

    @classmethod
    def load(cls, folder_or_name: str | os.PathLike[str]) -> Model:
        """Open a folder, or a model by its name under the user's or the installed models.

        Raises:
            ModelError: no such model, a file is missing, damaged or of an unknown version, or
                cannot be read.
        """
        try:
            return cls._load(_find(folder_or_name))
        except (OSError, RuntimeError) as error:  # the latter where ~ names nobody's home
            raise ModelError(f'cannot read model {str(folder_or_name)!r}: {error}') from error

    @classmethod
    def _load(cls, path: Path) -> Model:
        depth_path, pose_path = path / DEPTH_FILE, path / POSE_FILE
        if not depth_path.is_file():
            raise ModelError(f'{path} is no model folder: it holds no {DEPTH_FILE}')
        summed = _check_checksums(path)
        _check_data_file(depth_path, summed)
        metadata = read_metadata(depth_path)
        if METADATA_KEY not in metadata:
            raise ModelError(
                f'{depth_path} has no spec under the metadata key {METADATA_KEY!r}; '
                'make model folders with `depth_ros export` or `depth_ros import`'
            )
        try:
            spec = ModelSpec.from_json(metadata[METADATA_KEY])
        except ModelError as error:
            raise ModelError(f'{depth_path}: {error}') from error
        if pose_path.is_file() != (spec.motion is not None):
            problem = 'lacks' if spec.motion is not None else 'does not mention'
            raise ModelError(f'{path}: the model {problem} its {POSE_FILE}')
        if spec.motion is not None:
            read_metadata(pose_path)  # finds a truncated file now rather than in the runtime
            _check_data_file(pose_path, summed)
        return cls(path, spec, depth_path, pose_path if spec.motion is not None else None)

    def samples(self) -> dict[str, np.ndarray]:
        """The arrays of samples.npz; empty where the folder has none.

        Raises:
            ModelError: the file is damaged, or unpacks to more than a gigabyte.
        """
        path = self.path / SAMPLES_FILE
        if not path.is_file():
            return {}
        return read_npz(path, _LARGEST_SAMPLES_BYTES)


def data_file_of(graph: Path) -> Path:
    """The one file beside a graph that may hold its weights."""
    return graph.with_name(f'{graph.name}.data')


def find_models() -> dict[str, Path]:
    """Every model that `Model.load` finds by name; the user's own hide installed ones."""
    found: dict[str, Path] = {}
    for root in _model_roots():
        for folder in sorted(root.iterdir()) if root.is_dir() else ():
            if (folder / DEPTH_FILE).is_file():
                found.setdefault(folder.name, folder)
    return found


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS over the graphs and samples in `folder`: the last step of an export."""
    names = sorted(path.name for path in folder.iterdir() if path.name != CHECKSUMS_FILE)
    lines = [f'{_sha256(folder / name)}  {name}\n' for name in names if _is_payload(name)]
    (folder / CHECKSUMS_FILE).write_text(''.join(lines))


def _is_payload(name: str) -> bool:
    return name.endswith(('.onnx', '.npz', '.onnx.data'))


def _check_checksums(folder: Path) -> set[str]:
    """The names of the files that have checksums, which are right."""
    sums, names = folder / CHECKSUMS_FILE, set[str]()
    if not sums.is_file():
        return names
    for line in sums.read_text(errors='replace').splitlines():
        expected, _, name = line.partition('  ')
        if not name or Path(name).name != name:
            raise ModelError(f'{sums}: unreadable line {line!r}')
        if not (folder / name).is_file():
            raise ModelError(f'{folder}: {name} is missing')
        if _sha256(folder / name) != expected:
            raise ModelError(f'{folder / name} is damaged: its SHA-256 is not that of {sums.name}')
        names.add(name)
    return names


def _check_data_file(graph: Path, summed: set[str]) -> None:
    """A graph may name one file of weights: that beside it, whole and no link to elsewhere."""
    data = data_file_of(graph)
    for location in sorted(read_data_files(graph)):
        if location != data.name:
            raise ModelError(
                f'{graph} has weights in {location!r}; allowed: {data.name!r} beside it'
            )
        if data.resolve().parent != graph.parent.resolve() or not data.is_file():
            raise ModelError(f'{graph.parent}: {data.name} is missing or lies elsewhere')
        if data.name not in summed:
            raise ModelError(f'{graph.parent}: {CHECKSUMS_FILE} does not name {data.name}')


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _model_roots() -> Iterator[Path]:
    for folder in os.environ.get(MODELS_VARIABLE, '').split(os.pathsep):
        if folder:
            yield Path(folder).expanduser()
    data_home = os.environ.get('XDG_DATA_HOME') or '~/.local/share'
    yield Path(data_home).expanduser() / 'depth_ros' / 'models'
    yield Path(__file__).parents[1] / 'models'


def _find(folder_or_name: str | os.PathLike[str]) -> Path:
    path = Path(folder_or_name).expanduser()
    if path.is_dir():
        return path
    models = find_models()
    if str(folder_or_name) in models:
        return models[str(folder_or_name)]
    known = ', '.join(sorted(models)) or 'none'
    raise ModelError(f'no model {str(folder_or_name)!r}: neither a folder nor one of: {known}')
