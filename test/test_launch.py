"""Launch files and the RViz configuration: as far as they can be checked without ROS's launch."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
import yaml

from depth_ros.parameters import TABLE

ROOT = Path(__file__).resolve().parents[1]
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
RVIZ = yaml.safe_load((ROOT / 'config' / 'depth.rviz').read_text())
DISPLAYS = {d['Name']: d for d in RVIZ['Visualization Manager']['Displays']}


def declared_arguments(path: Path) -> dict[str, ast.Call]:
    """The DeclareLaunchArgument calls of a launch file by their argument's name."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {
        call.args[0].value: call
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == 'DeclareLaunchArgument'
    }


def used_arguments(path: Path) -> set[str]:
    """Names that LaunchConfiguration is asked for in so many words."""
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'LaunchConfiguration'
        and isinstance(node.args[0], ast.Constant)
    }


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_arguments_are_declared_and_explained(path):
    declared = declared_arguments(path)
    assert used_arguments(path) <= set(declared)
    for name, call in declared.items():
        described = [word.value for word in call.keywords if word.arg == 'description']
        assert described, f'{name} has no description'


def test_replay_gives_the_node_only_arguments_that_it_declares():
    declared = declared_arguments(ROOT / 'launch' / 'depth.launch.py')
    tree = ast.parse((ROOT / 'launch' / 'replay.launch.py').read_text())
    dictionaries = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    (given,) = [{key.value for key in d.keys} for d in dictionaries]
    assert given <= set(declared)


def test_overridden_parameters_exist():
    tree = ast.parse((ROOT / 'launch' / 'depth.launch.py').read_text())
    (overrides,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and node.targets[0].id == 'OVERRIDES'
    ]
    names = {key.value for key in overrides.keys}
    assert names <= {entry.name for entry in TABLE}


@pytest.mark.skipif(
    importlib.util.find_spec('launch_ros') is None, reason='launch_ros is not installed'
)
@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda path: path.name)
def test_launch_files_describe_a_launch(path):
    spec = importlib.util.spec_from_file_location('launch_file', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities


@pytest.mark.parametrize(
    ('name', 'kind', 'topic'),
    [
        ('Image', 'Image', 'image'),
        ('Depth', 'Image', 'depth/color'),
        ('Cloud', 'PointCloud2', 'points'),
        ('Odometry', 'Odometry', 'odom'),
        ('Cloud over image', 'Camera', 'image'),
    ],
)
def test_rviz_shows_the_topics_of_the_node_best_effort(name, kind, topic):
    display = DISPLAYS[name]
    assert display['Class'] == f'rviz_default_plugins/{kind}'
    assert display['Topic']['Value'] == topic
    assert display['Topic']['Reliability Policy'] == 'Best Effort'
    assert display['Topic']['Durability Policy'] == 'Volatile'
    assert display['Topic']['History Policy'] == 'Keep Last'


def test_rviz_has_frames_and_the_fixed_frame_of_the_node():
    assert DISPLAYS['TF']['Class'] == 'rviz_default_plugins/TF'
    odom_frame = next(entry.default for entry in TABLE if entry.name == 'odom_frame')
    assert RVIZ['Visualization Manager']['Global Options']['Fixed Frame'] == odom_frame
