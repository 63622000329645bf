"""The robot never imports torch, the workstation never imports rclpy: read from the source by ast,
and seen in a process that imports every module.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WORKSTATION = {'torch', 'torchvision', 'timm', 'lightning', 'torchmetrics', 'onnx', 'onnxscript'}
ROS = {'rclpy', 'rcl_interfaces', 'sensor_msgs', 'nav_msgs', 'geometry_msgs', 'std_msgs',
       'std_srvs', 'diagnostic_msgs', 'lifecycle_msgs', 'tf2_msgs', 'builtin_interfaces',
       'launch', 'launch_ros', 'ros2cli'}
TRAINING_VERBS = {'train.py', 'export.py', 'fit_fusion.py', 'import_model.py'}


@dataclass(frozen=True)
class Import:
    """One imported top-level package."""

    module: str
    line: int
    at_import_time: bool


def imports_of(path: Path) -> list[Import]:
    """Every import in a file; those inside functions or under TYPE_CHECKING run late or never."""
    return list(_walk(ast.parse(path.read_text(encoding='utf-8')).body, True))


def _walk(nodes: list[ast.stmt], at_import_time: bool) -> Iterator[Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name.split('.')[0], node.lineno, at_import_time)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'line {node.lineno}: relative import'
            yield Import((node.module or '').split('.')[0], node.lineno, at_import_time)
        else:
            late = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or (
                isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING')
            for _, block in ast.iter_fields(node):
                if isinstance(block, list) and block and isinstance(block[0], ast.AST):
                    yield from _walk(block, at_import_time and not late)


def files_of(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob('*.py'))
    assert files, f'{package} is empty'
    return files


def is_node_file(path: Path) -> bool:
    """Files that exist only for ROS: the node, its neighbours and the ros2cli extension."""
    name = path.relative_to(ROOT / 'depth_ros')
    return name.parts[0] == 'ros' or str(name) in ('node.py', 'cli/ros2.py', 'demo/collector.py')


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported_with(modules: list[str], blocked: set[str]) -> set[str]:
    """Top-level packages in sys.modules after importing `modules` in a process without `blocked`.

    An import of a blocked package fails there, so optional imports cannot hide one.
    """
    program = (
        'import importlib, json, sys\n'
        'modules, blocked = json.loads(sys.argv[1])\n'
        'sys.modules.update(dict.fromkeys(blocked))\n'
        'for module in modules:\n'
        '    importlib.import_module(module)\n'
        'loaded = {name.split(".")[0] for name, module in sys.modules.items() if module}\n'
        'print(json.dumps(sorted(loaded)))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', program, json.dumps([modules, sorted(blocked)])],
        cwd=ROOT, capture_output=True, text=True, timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_runtime_source_never_names_the_training_framework():
    offences = [
        f'{path.relative_to(ROOT)}:{found.line} {found.module}'
        for path in files_of('depth_ros') for found in imports_of(path)
        if found.module in WORKSTATION
    ]
    assert offences == []


def test_only_training_verbs_load_training_and_only_when_run():
    offences = [
        f'{path.relative_to(ROOT)}:{found.line}'
        for path in files_of('depth_ros') for found in imports_of(path)
        if found.module == 'training'
        and (found.at_import_time or path.parent.name != 'cli' or path.name not in TRAINING_VERBS)
    ]
    assert offences == []


def test_ros_is_imported_by_node_files_or_late():
    offences = [
        f'{path.relative_to(ROOT)}:{found.line} {found.module}'
        for path in files_of('depth_ros') if not is_node_file(path) for found in imports_of(path)
        if found.module in ROS and found.at_import_time
    ]
    assert offences == []


def test_training_source_never_names_ros():
    offences = [
        f'{path.relative_to(ROOT)}:{found.line} {found.module}'
        for path in files_of('training') for found in imports_of(path) if found.module in ROS
    ]
    assert offences == []


def test_runtime_imports_without_torch_and_without_ros():
    modules = [
        module_name(path) for path in files_of('depth_ros')
        if not is_node_file(path) and path.name != '__main__.py'
    ]
    loaded = imported_with(modules, WORKSTATION | ROS | {'training'})
    assert 'depth_ros' in loaded
    assert loaded.isdisjoint(WORKSTATION | ROS | {'training'})


def test_node_imports_without_torch():
    if importlib.util.find_spec('rclpy') is None:
        pytest.skip('rclpy is not installed')
    modules = [
        module_name(path) for path in files_of('depth_ros')
        if is_node_file(path) and path.name != 'ros2.py'
    ]
    loaded = imported_with(modules, WORKSTATION | {'training'})
    assert 'rclpy' in loaded
    assert loaded.isdisjoint(WORKSTATION)


@pytest.mark.slow
def test_training_imports_without_ros():
    if importlib.util.find_spec('torch') is None:
        pytest.skip('torch is not installed')
    modules = [module_name(path) for path in files_of('training')]
    loaded = imported_with(modules, ROS)
    assert 'torch' in loaded
    assert loaded.isdisjoint(ROS)


def parts_needed(package: str) -> dict[str, set[str]]:
    """Which parts (folders and files at the top) of a package each part imports, early or late."""
    needed: dict[str, set[str]] = {}
    for path in files_of(package):
        part = path.relative_to(ROOT / package).with_suffix('').parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ImportFrom) and node.module:
                top, *below = node.module.split('.')
                if top == package:
                    names = below[:1] or [alias.name for alias in node.names]
                    needed.setdefault(part, set()).update(set(names) - {part})
    return needed


def test_parts_of_the_runtime_need_each_other_one_way():
    order = list(TopologicalSorter(parts_needed('depth_ros')).static_order())
    assert order.index('errors') < order.index('cameras') < order.index('messages')
    assert order.index('backends') < order.index('pipeline') < order.index('ros')


def test_walk_sees_late_and_early_imports(tmp_path):
    path = tmp_path / 'module.py'
    path.write_text(
        'import os.path\nfrom typing import TYPE_CHECKING\n'
        'if TYPE_CHECKING:\n    import torch\n'
        'try:\n    import early\nexcept ImportError:\n    import other\n'
        'class A:\n    import inside\n    def f(self):\n        import late\n'
    )
    found = {entry.module: entry.at_import_time for entry in imports_of(path)}
    assert found == {'os': True, 'typing': True, 'torch': False, 'early': True, 'other': True,
                     'inside': True, 'late': False}
