"""Nothing in the project runs what a file or a message says."""

import ast
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ('depth_ros', 'training', 'benchmarks', 'tools', 'launch')
"""Tests make the files that must be refused, by whatever means."""
SOURCES = [
    ROOT / 'setup.py', *(path for folder in FOLDERS for path in (ROOT / folder).rglob('*.py'))
]
# pickle.UnpicklingError is what torch.load raises on damaged files.
KNOWN = {('training/state_files.py', 'import pickle')}
UNSAFE_MODULES = ('pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'shelve', 'marshal')
UNSAFE_CALLS = {
    'eval', 'exec', 'compile', 'execfile', 'os.system', 'os.popen', 'pickle.load', 'pickle.loads',
    'subprocess.getoutput', 'subprocess.getstatusoutput', 'yaml.load', 'yaml.full_load',
    'yaml.unsafe_load', 'yaml.load_all', 'torch.hub.load', 'torch.jit.load',
    'onnx.load_external_data_for_model', 'tempfile.mktemp',
}  # fmt: skip


def name_of(node):
    """'a.b.c' of a call's function; '' of anything else."""
    if isinstance(node, ast.Attribute):
        inner = name_of(node.value)
        return f'{inner}.{node.attr}' if inner else ''
    return node.id if isinstance(node, ast.Name) else ''


def keyword(call, name):
    return next((k.value for k in call.keywords if k.arg == name), None)


def is_constant(node, value):
    return isinstance(node, ast.Constant) and node.value is value


def unsafe_call(call):
    """What is wrong with a call, or None."""
    name = name_of(call.func)
    if name in UNSAFE_CALLS:
        return name
    if not is_constant(keyword(call, 'shell'), False) and keyword(call, 'shell') is not None:
        return 'shell'
    if name in ('np.load', 'numpy.load'):
        allowed = keyword(call, 'allow_pickle')
        return None if allowed is None or is_constant(allowed, False) else 'np.load with pickle'
    weights_only = keyword(call, 'weights_only')
    if name == 'torch.load' or name.endswith('.load_from_checkpoint'):
        return None if is_constant(weights_only, True) else f'{name} without weights_only'
    if keyword(call, 'ckpt_path') is not None and not is_constant(weights_only, True):
        return f'{name} resumes without weights_only'
    return None


def unsafe_parts(path):
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [f'import {a.name}' for a in node.names
                      if a.name.split('.')[0] in UNSAFE_MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split('.')[0] in UNSAFE_MODULES:
                found.append(f'import {node.module}')
        elif isinstance(node, ast.Call):
            found += [what for what in [unsafe_call(node)] if what is not None]
    return found


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell():
    assert len(SOURCES) > 200
    assert {
        (str(path.relative_to(ROOT)), what) for path in SOURCES for what in unsafe_parts(path)
    } == KNOWN


@pytest.mark.parametrize(('code', 'what'), [
    ('eval(text)', 'eval'),
    ('import subprocess as s\ns.run(command, shell=True)', 'shell'),
    ('subprocess.run(command, shell=wanted)', 'shell'),
    ('np.load(path, allow_pickle=True)', 'np.load with pickle'),
    ('torch.load(path)', 'torch.load without weights_only'),
    ('torch.load(path, weights_only=False)', 'torch.load without weights_only'),
    ('Net.load_from_checkpoint(path)', 'Net.load_from_checkpoint without weights_only'),
    ('trainer.fit(task, ckpt_path=path)', 'trainer.fit resumes without weights_only'),
    ('yaml.load(text, Loader=yaml.SafeLoader)', 'yaml.load'),
    ('from pickle import loads', 'import pickle'),
    ('os.system(command)', 'os.system'),
])
def test_the_search_finds(tmp_path, code, what):
    (tmp_path / 'x.py').write_text(code)
    assert unsafe_parts(tmp_path / 'x.py') == [what]


@pytest.mark.parametrize('code', [
    'net.eval()', 're.compile(text)', 'subprocess.run([name], shell=False)', 'np.load(path)',
    'torch.load(path, weights_only=True)', 'yaml.safe_load(text)', 'torch.compile(net)',
])
def test_the_search_passes(tmp_path, code):
    (tmp_path / 'x.py').write_text(code)
    assert unsafe_parts(tmp_path / 'x.py') == []


def refused_versions():
    """Name and version pairs of requirements/refused.txt."""
    pairs = []
    for line in (ROOT / 'requirements' / 'refused.txt').read_text().splitlines():
        if line.strip() and not line.startswith('#'):
            text, _, reason = line.partition('  # ')
            assert reason, f'{line!r} says not why'
            name, _, version = text.partition('==')
            pairs.append((canonicalize_name(name), version))
    return pairs


def requirements_of(path):
    for line in path.read_text().splitlines():
        text = line.partition(' #')[0].strip()
        if text and not text.startswith(('#', '-')):
            yield Requirement(text)


@pytest.mark.parametrize(('name', 'version'), refused_versions())
def test_refused_versions_are_neither_asked_for_nor_pinned(name, version):
    for path in sorted((ROOT / 'requirements').glob('*.txt')):
        if path.name == 'refused.txt':
            continue
        for requirement in requirements_of(path):
            if canonicalize_name(requirement.name) == name:
                admitted = requirement.specifier.contains(version, prereleases=True)
                assert not admitted, f'{path.name} admits {name} {version}: {requirement}'


def test_everything_that_is_asked_for_is_pinned():
    folder = ROOT / 'requirements'
    pinned = {canonicalize_name(r.name) for path in folder.glob('constraints*.txt')
              for r in requirements_of(path)}
    asked = {canonicalize_name(r.name) for path in folder.glob('*.txt')
             if not path.name.startswith('constraints') and path.name != 'refused.txt'
             for r in requirements_of(path)}
    assert asked <= pinned, f'not in the constraints: {sorted(asked - pinned)}'
    for path in folder.glob('constraints*.txt'):
        for requirement in requirements_of(path):
            assert re.fullmatch(r'==[\w.+!]+', str(requirement.specifier)), requirement
