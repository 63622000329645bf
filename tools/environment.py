"""Makes or updates a virtual environment: ROS 2 wheels of one distro and layers of requirements.

    python3 tools/environment.py .venv --distro jazzy runtime training test dev

A layer is requirements/<layer>.txt; the constraints files pin everything. What was installed is
remembered as hashes inside the environment, so a second call costs nothing, and a layer whose
files change is installed again. Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'
DISTROS = ('jazzy', 'kilted')
LAYERS = ('runtime', 'openvino', 'training', 'engines', 'test', 'interfaces', 'dev')
OLDEST_PYTHON = (3, 10)
STAMP = 'depth_ros_layers.json'
LOG_TAIL_LINES = 25


@dataclass(frozen=True)
class Layer:
    """Something pip installs in one go."""

    name: str
    pip_arguments: tuple[str, ...]
    # Files whose change makes the layer stale.
    inputs: tuple[Path, ...]

    def digest(self) -> str:
        """Changes with the input files and with the Python that installs them."""
        digest = hashlib.sha256(repr((sys.version_info[:3], self.pip_arguments)).encode())
        for path in self.inputs:
            digest.update(path.read_bytes())
        return digest.hexdigest()


def requirement_layer(name: str, files: Sequence[str], distro: str) -> Layer:
    """The layer that installs requirements/<file>.txt for each of `files`, pinned for `distro`."""
    listed = [REQUIREMENTS / f'{file}.txt' for file in files]
    pins = [REQUIREMENTS / 'constraints.txt', REQUIREMENTS / f'constraints-{distro}.txt']
    arguments = [part for path in listed for part in ('-r', str(path.relative_to(ROOT)))]
    arguments += [part for path in pins for part in ('-c', str(path.relative_to(ROOT)))]
    return Layer(name, tuple(arguments), (*listed, *pins))


def wanted_layers(names: Sequence[str], distro: str) -> list[Layer]:
    """The layers of `names` in installation order, then the project itself, editable.

    The runtime brings ROS 2 with it.
    """
    layers = []
    files = {'runtime': ['runtime', distro], 'interfaces': ['interfaces', f'interfaces-{distro}']}
    for name in LAYERS:
        if name in names:
            layers.append(requirement_layer(name, files.get(name, [name]), distro))
    # With its place, since an environment that was moved or copied would use the old sources.
    arguments = ('--no-deps', '--no-build-isolation', '-e', str(ROOT))
    inputs = tuple(ROOT / name for name in ('setup.py', 'setup.cfg', 'package.xml'))
    return [*layers, Layer('depth_ros', arguments, inputs)]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep two calls from installing into one environment at once."""
    folder.mkdir(exist_ok=True)
    with open(folder / '.lock', 'w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f'{folder.name}: waiting for another call that installs into it', flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def make_environment(folder: Path) -> Path:
    """The environment's Python; the environment is made where there is none."""
    python = folder / 'bin' / 'python'
    if not python.exists():
        print(f'{folder.name}: creating with Python {sys.version.split()[0]}', flush=True)
        done = subprocess.run([sys.executable, '-m', 'venv', str(folder)])
        if done.returncode != 0:
            sys.exit(
                f'{folder.name}: `{sys.executable} -m venv` failed; on Debian and Ubuntu: '
                'apt-get install python3-venv'
            )
    return python


def install(python: Path, layer: Layer, folder: Path) -> None:
    """Run pip with one line of progress a package; the whole output goes to a log."""
    log_path = folder / f'pip-{layer.name}.log'
    command = [str(python), '-m', 'pip', 'install', '--disable-pip-version-check',
               '--progress-bar', 'off', *layer.pip_arguments]
    print(f'{folder.name}: installing {layer.name}, log in {log_path.name}', flush=True)
    started, lines = time.monotonic(), []
    with open(log_path, 'w') as log, subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            lines.append(line.rstrip())
            progress = progress_of(line)
            if progress:
                print(f'  {time.monotonic() - started:5.0f} s  {progress}', flush=True)
    if pip.returncode != 0:
        problems = [line for line in lines if not line.startswith('WARNING')]
        print('\n'.join(problems[-LOG_TAIL_LINES:]), file=sys.stderr)
        sys.exit(f'{folder.name}: pip could not install {layer.name}')
    print(f'  {time.monotonic() - started:5.0f} s  {layer.name} done', flush=True)


def progress_of(line: str) -> str:
    """What is worth showing of one line of pip's output, '' where nothing is."""
    download = re.match(r'\s*Downloading (\S+) \((.+ [MG]B)\)', line)
    if download:
        name_and_version = Path(download[1]).name.split('-')[:2]
        return f'downloading {"-".join(name_and_version)} ({download[2]})'
    if line.startswith('Installing collected packages'):
        return f'installing {line.count(",") + 1} packages'
    return ''


def main() -> None:
    """Parse the command line and bring the environment up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', help='the environment, relative to the project')
    parser.add_argument('layers', nargs='+', choices=LAYERS)
    parser.add_argument('--distro', choices=DISTROS, default=DISTROS[0])
    args = parser.parse_args()
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(f'Python {sys.version.split()[0]} is too old: 3.10 or newer is needed '
                 '(make PYTHON=/path/to/python3)')
    folder = ROOT / args.folder
    with locked(folder):
        python = make_environment(folder)
        stamp = folder / STAMP
        installed = json.loads(stamp.read_text()) if stamp.is_file() else {}
        for layer in wanted_layers(args.layers, args.distro):
            if installed.get(layer.name) != layer.digest():
                install(python, layer, folder)
                installed[layer.name] = layer.digest()
                stamp.write_text(json.dumps(installed, indent=2))
    print(f'{folder.name}: {", ".join(args.layers)} up to date', flush=True)


if __name__ == '__main__':
    main()
