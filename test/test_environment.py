"""The script that makes environments: layers, when they are stale, pins, and what it prints."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'


@pytest.fixture(scope='module')
def environment():
    """tools/environment.py as a module."""
    path = ROOT / 'tools' / 'environment.py'
    spec = importlib.util.spec_from_file_location('environment', path)
    module = importlib.util.module_from_spec(spec)
    sys.modules['environment'] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules['environment']


def names_in(file: str) -> set[str]:
    """Distributions that a requirements file names, normalised as pip does."""
    lines = (REQUIREMENTS / file).read_text().splitlines()
    names = (re.match(r'[A-Za-z0-9._-]+', line) for line in lines if not line.startswith('#'))
    return {re.sub(r'[-_.]+', '-', name[0]).lower() for name in names if name}


@pytest.mark.parametrize('distro', ['jazzy', 'kilted'])
def test_everything_asked_for_is_pinned(environment, distro):
    pinned = names_in('constraints.txt') | names_in(f'constraints-{distro}.txt')
    layers = environment.wanted_layers(environment.LAYERS, distro)
    listed = {path.name for layer in layers for path in layer.inputs if path.suffix == '.txt'
              and not path.name.startswith('constraints')}
    assert {f'{distro}.txt', 'runtime.txt', 'training.txt', 'test.txt'} <= listed
    assert set().union(*map(names_in, listed)) - pinned == set()


def test_pins_are_exact_and_one_for_each_python():
    for path in REQUIREMENTS.glob('constraints*.txt'):
        pins = [line for line in path.read_text().splitlines() if not line.startswith('#')]
        assert pins
        assert all(re.fullmatch(r"[a-z0-9-]+==[^;\s]+(; python_version [<>]=? '3\.\d+')?", pin)
                   for pin in pins), path
        unconditional = [pin.split('==')[0] for pin in pins if ';' not in pin]
        assert len(set(unconditional)) == len(unconditional)


def test_runtime_asks_for_nothing_of_training():
    assert names_in('runtime.txt').isdisjoint(names_in('training.txt'))
    assert 'torch' not in names_in('runtime.txt') | names_in('test.txt')


def test_layers_come_in_order_and_end_with_the_project(environment):
    layers = environment.wanted_layers(['test', 'runtime'], 'kilted')
    assert [layer.name for layer in layers] == ['runtime', 'test', 'depth_ros']
    assert 'requirements/kilted.txt' in layers[0].pip_arguments
    assert 'requirements/constraints-kilted.txt' in layers[1].pip_arguments


def test_a_changed_input_makes_a_layer_stale(environment, tmp_path):
    file = tmp_path / 'requirements.txt'
    file.write_text('numpy\n')
    layer = environment.Layer('some', ('-r', str(file)), (file,))
    before = layer.digest()
    assert layer.digest() == before
    assert dataclasses.replace(layer, pip_arguments=('-r', 'other')).digest() != before
    file.write_text('numpy<2\n')
    assert layer.digest() != before


@pytest.mark.parametrize(('line', 'shown'), [
    ('  Downloading torch-2.12.1-cp311-cp311-linux_x86_64.whl (823.5 MB)\n',
     'downloading torch-2.12.1 (823.5 MB)'),
    ('  Downloading https://example.org/a/numpy-1.26.4-cp311.whl (18.2 MB)\n',
     'downloading numpy-1.26.4 (18.2 MB)'),
    ('  Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)\n', ''),
    ('Installing collected packages: a, b, c\n', 'installing 3 packages'),
    ("WARNING: Location 'file:///x' is ignored\n", ''),
])
def test_progress_shows_what_takes_time(environment, line, shown):
    assert environment.progress_of(line) == shown
