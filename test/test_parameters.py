"""The table of parameters, and config/depth.yaml, which lists it."""

import dataclasses
import math

import pytest
import yaml

from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import ConfigError
from depth_ros.parameters import TABLE, Extrinsics, NodeParameters
from depth_ros.pipeline import OutputSize
from depth_ros.pipeline.scale import ScaleSource
from depth_ros.system.resources import config_file

PLACED = {'extrinsics': 'parameter', 'base_frame': 'base_link'}
BY_NAME = {entry.name: entry for entry in TABLE}


def test_yaml_lists_every_parameter_at_its_default():
    text = config_file('depth.yaml').read_text()
    explained = ' '.join(text.replace('#', ' ').split())
    listed = yaml.safe_load(text)['/**']['ros__parameters']
    assert list(listed) == [entry.name for entry in TABLE]
    for entry in TABLE:
        assert listed[entry.name] == entry.ros_default
        assert type(listed[entry.name]) is type(entry.ros_default)
        assert entry.meaning.text in explained


def test_defaults_pass_their_own_checks():
    values = {entry.name: entry.ros_default for entry in TABLE}
    assert NodeParameters().changed(values) == NodeParameters()


def test_words_become_enums_and_lists_tuples():
    changed = NodeParameters().changed(
        {'rectify': 'never', 'camera_in_base': [1.0, 2.0, 3.0, 0.0, 0.5, 0.0]}
    )
    assert changed.rectify is RectifyMode.NEVER
    assert changed.camera_in_base == (1.0, 2.0, 3.0, 0.0, 0.5, 0.0)


@pytest.mark.parametrize('entry', [e for e in TABLE if e.choices], ids=lambda e: e.name)
def test_every_choice_is_read_and_others_are_refused(entry):
    placed = NodeParameters(base_frame='base_link')
    for choice in entry.choices:
        assert getattr(placed.changed({entry.name: choice}), entry.name).value == choice
    with pytest.raises(ConfigError, match=f'{entry.name}.*nonsense.*{entry.choices[0]}'):
        NodeParameters().changed({entry.name: 'nonsense'})


@pytest.mark.parametrize(
    'entry', [e for e in TABLE if e.meaning.lowest is not None], ids=lambda e: e.name
)
def test_bounds_hold_and_are_named(entry):
    kind = type(entry.default)
    lowest, highest = kind(entry.meaning.lowest), kind(entry.meaning.highest)
    for value in (lowest, highest):
        assert getattr(NodeParameters().changed({entry.name: value}), entry.name) == value
    beyond = [lowest - 1, highest + 1] + ([math.nan] if kind is float else [])
    for value in beyond:
        with pytest.raises(ConfigError, match=entry.name):
            NodeParameters().changed({entry.name: value})


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('autostart', 1), ('threads', True), ('threads', 1.0), ('scale_factor', 2), ('model', 3),
        ('camera_in_base', [1.0] * 5), ('camera_in_base', [math.nan] * 6),
        ('camera_in_base', 'here'), ('rectify', 3), ('no_such_name', 1),
    ],
)  # fmt: skip
def test_other_types_and_names_are_refused(name, value):
    with pytest.raises(ConfigError, match=name):
        NodeParameters().changed({name: value})


def test_settings_follow_the_parameters():
    parameters = NodeParameters().changed(
        {'scale_source': 'fixed', 'scale_factor': 2.5, 'output_size': 'network', 'threads': 3}
    )
    settings = parameters.track_settings()
    assert settings.output_size is OutputSize.NETWORK
    assert settings.scale.source is ScaleSource.FIXED
    assert settings.scale.factor == 2.5
    assert parameters.backend_options.threads == 3


def test_a_camera_that_looks_down_knows_where_down_is():
    pitched = dataclasses.replace(
        NodeParameters(),
        base_frame='base_link',
        extrinsics=Extrinsics.PARAMETER,
        camera_in_base=(0.0, 0.0, 1.0, 0.0, math.radians(30), 0.0),
    )
    # Looking 30 degrees below the horizon, down is partly ahead: y down, z forward.
    expected = (0.0, math.cos(math.radians(30)), math.sin(math.radians(30)))
    assert pitched.track_settings().scale.down == pytest.approx(expected)
    by_tf = dataclasses.replace(pitched, extrinsics=Extrinsics.TF_STATIC, base_frame='base_link')
    assert by_tf.track_settings().scale.down is None


def test_cameras_have_names_places_and_frames_of_their_own():
    rig = NodeParameters().changed(
        {
            'cameras': ['front', 'left'],
            'base_frame': 'base_link',
            'extrinsics': 'parameter',
            'camera_in_base': [0.3, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.2, 0.5, 0.0, 0.0, 1.57],
        }
    )
    assert rig.cameras == ('front', 'left')
    assert rig.base_T_camera('left')[:3, 3] == pytest.approx([0.0, 0.2, 0.5])
    assert rig.odom_frame_of('left') == 'left/odom'
    assert rig.backend_options.engine.max_batch == 2
    single = NodeParameters()
    assert single.odom_frame_of('') == 'odom'
    assert single.backend_options.engine.max_batch == 1
    for none in ([], None):  # ROS has no list of nothing
        assert NodeParameters().changed({'cameras': none}) == single


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'cameras': ['front', 'front']}, 'twice'),
        ({'cameras': ['a b']}, "'a b'"),
        ({'cameras': 'front'}, 'not a list of words'),
        ({'cameras': [1]}, 'not a word'),
        ({'cameras': ['a', 'b'], **PLACED}, 'camera_in_base has 6.*12 in all'),
        ({**PLACED, 'camera_in_base': [0.0] * 12}, '12 numbers.*6 in all'),
        ({'camera_in_base': [0.0] * 7}, '6 finite numbers for each camera'),
    ],
)
def test_values_that_do_not_fit_the_cameras_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        NodeParameters().changed(values)


def test_a_place_needs_a_frame_to_be_in():
    words = "'parameter' while base_frame is ''.*base_frame: base_link.*tf_static"
    with pytest.raises(ConfigError, match=words):
        NodeParameters().changed({'extrinsics': 'parameter'})
    with pytest.raises(ConfigError, match=words):
        NodeParameters().changed(PLACED).changed({'base_frame': ''})


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'odom_frame': ''}, "odom_frame is ''"),
        ({'odom_frame': '/'}, "odom_frame is '/'"),
        ({'base_frame': 'odom'}, "base_frame is 'odom'"),
        ({'base_frame': '/'}, "base_frame is '/', which names no frame"),
        ({'base_frame': '/map', 'odom_frame': 'map'}, "base_frame is '/map'"),
        ({'cameras': ['a', 'b'], 'base_frame': 'b/odom'}, "base_frame is 'b/odom'"),
    ],
)
def test_odometry_needs_two_frames(values, words):
    with pytest.raises(ConfigError, match=words):
        NodeParameters().changed(values)


def test_every_parameter_is_explained():
    for entry in TABLE:
        assert len(entry.meaning.text) > 10
        assert entry.meaning.text.endswith('.')
