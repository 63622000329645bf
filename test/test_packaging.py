"""Builds and installs the package for real: colcon, colcon with symlinks, and a wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns('.*', '__pycache__', '*.egg-info', 'build', 'install', 'log',
                                 'runs', 'lightning_logs', 'demo_out', 'test')
SITE_PACKAGES = f'lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages'
CAN_MAKE_WHEELS = any(importlib.util.find_spec(name)
                      for name in ('wheel', 'setuptools.command.bdist_wheel'))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec('colcon_ros') is None,
                       reason='colcon is not installed'),
]


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of the package, since a build leaves files beside its sources."""
    folder = tmp_path_factory.mktemp('workspace') / 'src' / 'depth_ros'
    shutil.copytree(ROOT, folder, ignore=IGNORED)
    (folder / 'test').mkdir()
    shutil.copy(ROOT / 'test' / 'test_se3.py', folder / 'test')
    return folder


@pytest.fixture(scope='module', params=['copied', 'symlinked'])
def installed(request, source) -> Path:
    """The prefix into which colcon installed the package."""
    workspace = source.parent.parent
    install = workspace / f'install-{request.param}'
    flags = ['--symlink-install'] if request.param == 'symlinked' else []
    colcon(workspace, 'build', '--install-base', str(install),
           '--build-base', str(workspace / f'build-{request.param}'), *flags)
    return install / 'depth_ros'


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=folder, env={**os.environ, **environment},
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def colcon(workspace: Path, *arguments: str) -> str:
    program = 'import sys; from colcon_core.command import main; sys.exit(main())'
    return run([sys.executable, '-c', program, *arguments], workspace, COLCON_HOME=str(workspace))


def shared_files() -> list[str]:
    """What must lie under share/depth_ros."""
    files = [path for folder in ('launch', 'config') for path in (ROOT / folder).rglob('*')
             if path.is_file() and path.suffix != '.pyc']
    return ['package.xml', *(str(path.relative_to(ROOT)) for path in files)]


def test_colcon_takes_it_for_an_ament_python_package(source):
    assert colcon(source.parent.parent, 'list').split()[-1] == '(ros.ament_python)'


def test_build_installs_the_marker_launch_files_and_configuration(installed):
    assert (installed / 'share/ament_index/resource_index/packages/depth_ros').is_file()
    assert 'config/fastdds.xml' in shared_files()
    share = installed / 'share/depth_ros'
    assert [name for name in shared_files() if not (share / name).is_file()] == []


def test_ros2_run_finds_the_executables(installed):
    for name in ('depth_ros', 'depth_node'):
        assert os.access(installed / 'lib/depth_ros' / name, os.X_OK)


def test_installed_package_works_far_from_its_source(installed, tmp_path):
    """The command runs with what a sourced workspace adds to PYTHONPATH, and finds its files."""
    build = sorted((installed.parent.parent).glob(f'build-{installed.parent.name[8:]}/depth_ros'))
    path = os.pathsep.join(str(folder) for folder in (installed / SITE_PACKAGES, *build))
    program = (
        'import depth_ros, training; from depth_ros.system.resources import config_file\n'
        'from importlib.metadata import distribution\n'
        'print(depth_ros.__file__, config_file("fastdds.xml"), sep="\\n")\n'
        'print(*sorted(f"{e.group}:{e.name}" for e in distribution("depth_ros").entry_points))'
    )
    lines = run([sys.executable, '-c', program], tmp_path, PYTHONPATH=path).splitlines()
    workspace = str(installed.parent.parent)
    assert lines[0].startswith(workspace)
    assert lines[1].startswith(workspace)
    assert lines[2].split() == [
        'console_scripts:depth_node', 'console_scripts:depth_ros', 'ros2cli.command:depth']
    command = str(installed / 'lib/depth_ros/depth_ros')
    assert run([command, '--version'], tmp_path, PYTHONPATH=path).startswith('depth_ros ')


def test_installed_halves_are_whole(installed):
    """Modules and models; a folder without __init__.py would be left behind."""
    names = [str(path.relative_to(ROOT)) for half in ('depth_ros', 'training')
             for path in (ROOT / half).rglob('*')
             if path.is_file() and '__pycache__' not in path.parts]
    packages = installed / SITE_PACKAGES
    if not (packages / 'depth_ros').is_dir():  # a symlink install has a link file there instead
        packages = installed.parent.parent / 'build-symlinked/depth_ros'
    assert [name for name in names if not (packages / name).is_file()] == []


def test_colcon_test_runs_pytest(source):
    workspace = source.parent.parent
    folders = ['--build-base', str(workspace / 'build-test'),
               '--install-base', str(workspace / 'install-test')]
    colcon(workspace, 'build', *folders)
    colcon(workspace, 'test', *folders)
    summary = colcon(workspace, 'test-result', '--test-result-base', str(workspace / 'build-test'))
    tests, errors, failures, *_ = (int(word) for word in summary.split() if word.isdigit())
    assert tests > 0
    assert (errors, failures) == (0, 0)


@pytest.mark.skipif(not CAN_MAKE_WHEELS, reason='setuptools is older than 70 and has no wheel')
def test_wheel_holds_both_halves_and_their_files(source, tmp_path):
    run([sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--no-build-isolation', '--quiet',
         '--wheel-dir', str(tmp_path), str(source)], tmp_path)
    [wheel] = tmp_path.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert 'depth_ros/py.typed' in names
    modules = {str(path.relative_to(ROOT)) for half in ('depth_ros', 'training')
               for path in (ROOT / half).rglob('*.py')}
    assert modules <= set(names)
    assert not [name for name in names if name.startswith(('test/', 'tools/', 'build/'))]
    data = {name.split('.data/data/', 1)[1] for name in names if '.data/data/' in name}
    assert {f'share/depth_ros/{name}' for name in shared_files()} <= data
