"""Launch files and the RViz configuration: as far as they can be checked without ROS's launch."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_launch import Launched, resolve
from helpers import make_intrinsics

from depth_ros.bags import BagWriter
from depth_ros.cameras.camera_names import camera_topic
from depth_ros.messages import bag_messages
from depth_ros.parameters import TABLE, NodeParameters
from depth_ros.rviz import derived_camera_info

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
        for node in tree.body
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


class Shown:
    """What RViz of a launch of depth.launch.py shows, and what the node of that launch has."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **arguments: str) -> None:
        launched = Launched(
            monkeypatch, ROOT / 'launch' / 'depth.launch.py', {**arguments, 'rviz': 'true'}
        )
        (node,), (rviz,) = launched.of_kind('LifecycleNode'), launched.of_kind('Node')
        self.node, self.rviz = launched.node(node), launched.node(rviz)
        option, path = rviz.kwargs['arguments']
        assert option == '-d'
        manager = yaml.safe_load(Path(path).read_text())['Visualization Manager']
        Path(path).unlink()
        self.fixed_frame = manager['Global Options']['Fixed Frame']
        self.displays = {display['Name']: display for display in manager['Displays']}
        self.hints = launched.of_kind('LogInfo')

    def topic(self, display: str) -> str:
        """The full name of a display's topic."""
        return resolve(self.rviz, self.displays[display]['Topic']['Value'])

    def assert_are_those_of_the_node(self, camera: str = '', ending: str = '') -> None:
        def of_node(topic: str) -> str:
            return resolve(self.node, camera_topic(camera, topic))

        image = of_node('image') + ending
        shown = {name: self.topic(name) for name in self.displays if name in TOPICS}
        assert shown == {'Image': image, 'Cloud over image': image} | {
            name: of_node(topic) for name, topic in TOPICS.items() if topic != 'image'
        }
        derived = derived_camera_info(self.displays['Cloud over image']['Topic']['Value'])
        assert resolve(self.rviz, derived) == of_node('camera_info')


TOPICS = {'Image': 'image', 'Depth': 'depth/color', 'Cloud': 'points', 'Odometry': 'odom',
          'Cloud over image': 'image'}  # fmt: skip
DRIVER = {'image': '/camera/image_raw', 'camera_info': '/camera/camera_info'}


@pytest.mark.parametrize('namespace', ['', 'robot'])
@pytest.mark.parametrize(
    'inputs',
    [{}, DRIVER, {'image': 'left/image_rect', 'camera_info': '/rig/info'}],
    ids=['plain', 'driver', 'rig'],
)
@pytest.mark.parametrize('transport', ['', 'raw', 'compressed'])
def test_rviz_shows_what_the_node_takes_and_sends(monkeypatch, namespace, inputs, transport):
    shown = Shown(monkeypatch, namespace=namespace, image_transport=transport, **inputs)
    shown.assert_are_those_of_the_node(ending='/compressed' if transport == 'compressed' else '')


def test_rviz_of_the_first_command_shows_the_camera(monkeypatch):
    shown = Shown(monkeypatch, publish_tf='true', **DRIVER)
    assert shown.topic('Image') == '/camera/image_raw'
    assert shown.topic('Cloud') == '/points'
    assert shown.fixed_frame == 'odom'
    assert shown.displays['Grid'] == DISPLAYS['Grid']


def test_rviz_shows_the_first_of_several_cameras(monkeypatch):
    inputs = {'image': '/{camera}/image_raw', 'camera_info': '/{camera}/camera_info'}
    shown = Shown(monkeypatch, cameras='front, left', namespace='robot', **inputs)
    shown.assert_are_those_of_the_node(camera='front')
    assert shown.topic('Image') == '/front/image_raw'
    assert shown.topic('Odometry') == '/robot/front/odom'
    Shown(monkeypatch, cameras='front,left').assert_are_those_of_the_node(camera='front')


@pytest.mark.parametrize(
    ('arguments', 'frame', 'hinted'),
    [
        ({'publish_tf': 'true'}, NodeParameters().odom_frame_of(''), False),
        ({'publish_tf': 'true', 'cameras': 'front,left'},
         NodeParameters().odom_frame_of('front'), False),
        ({'publish_tf': 'true', 'base_frame': 'camera_link'}, 'odom', False),
        ({'base_frame': 'base_link'}, 'base_link', False),
        ({'base_frame': 'base_link', 'fixed_frame': 'map'}, 'map', False),
        ({'publish_tf': 'false'}, 'odom', True),
        ({}, 'odom', True),
    ],
)  # fmt: skip
def test_rviz_stands_in_a_frame_that_somebody_tells(monkeypatch, arguments, frame, hinted):
    shown = Shown(monkeypatch, **arguments)
    assert shown.fixed_frame == frame
    assert bool(shown.hints) is hinted


def test_no_rviz_is_started_unasked_and_the_node_gets_what_is_given(monkeypatch):
    path = ROOT / 'launch' / 'depth.launch.py'
    launched = Launched(monkeypatch, path, {'base_frame': 'base_link'})
    assert not launched.of_kind('Node')
    (node,) = launched.of_kind('LifecycleNode')
    assert set(node.kwargs['parameters'][1]) == {'use_sim_time', 'base_frame'}


def test_rviz_of_a_replay_shows_the_compressed_images_of_the_bag(monkeypatch, tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        picture = np.zeros((48, 64, 3), np.uint8)
        for topic, kind, message in (
            ('/cam/image_raw/compressed', bag_messages.COMPRESSED_IMAGE,
             bag_messages.compressed_image(0, 'cam', picture)),
            ('/cam/camera_info', bag_messages.CAMERA_INFO,
             bag_messages.camera_info(0, 'cam', make_intrinsics())),
        ):  # fmt: skip
            bag.write(topic, kind, 0, message)
    replay = Launched(
        monkeypatch, ROOT / 'launch' / 'replay.launch.py', {'bag': str(tmp_path / 'bag')}
    )
    (included,) = replay.of_kind('IncludeLaunchDescription')
    shown = Shown(monkeypatch, **dict(included.kwargs['launch_arguments']))
    shown.assert_are_those_of_the_node(ending='/compressed')
    assert shown.topic('Image') == '/cam/image_raw/compressed'
    assert shown.fixed_frame == 'odom'
