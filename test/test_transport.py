"""Which Fast DDS profile a process gets, and what is said of a machine that loses images."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from depth_ros.system import transport
from depth_ros.system.resources import config_file

NAMESPACE = '{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}'


@pytest.mark.parametrize(('distro', 'names'), [
    ('humble', {'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'}),
    ('jazzy', {'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'}),
    ('kilted', {'FASTDDS_DEFAULT_PROFILES_FILE'}),
    ('rolling', {'FASTDDS_DEFAULT_PROFILES_FILE'}),
])  # fmt: skip
def test_profile_is_set_under_the_names_that_the_distro_reads(distro, names, tmp_path):
    added = transport.profile_variables({'ROS_DISTRO': distro}, tmp_path)
    assert set(added) == names
    assert {Path(path).name for path in added.values()} == {'fastdds.xml'}


@pytest.mark.parametrize('variable', transport.PROFILE_VARIABLES)
def test_profile_of_the_user_is_kept(variable, tmp_path):
    assert transport.profile_variables({variable: '/my/own.xml'}, tmp_path) == {}


@pytest.mark.parametrize('name', transport.IMPLICIT_PROFILES)
def test_profile_in_the_working_directory_is_kept(name, tmp_path):
    (tmp_path / name).write_text('<profiles/>')
    assert transport.profile_variables({}, tmp_path) == {}


def test_other_middleware_is_left_alone(tmp_path):
    environment = {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}
    assert transport.profile_variables(environment, tmp_path) == {}
    assert transport.find_problems(environment, tmp_path) == ()


def test_missing_profile_is_a_problem_with_its_cure(tmp_path):
    problems = transport.find_problems({}, tmp_path)
    assert 'without a profile' in problems[0].what
    assert 'FASTDDS_DEFAULT_PROFILES_FILE=' in problems[0].cure


def test_profile_that_does_not_exist_is_a_problem(tmp_path):
    environment = {'FASTDDS_DEFAULT_PROFILES_FILE': str(tmp_path / 'gone.xml')}
    assert 'gone.xml does not exist' in transport.find_problems(environment, tmp_path)[0].what


def test_small_shared_memory_is_a_problem(monkeypatch, tmp_path):
    environment = transport.profile_variables({}, tmp_path)
    monkeypatch.setattr(transport, 'shared_memory_bytes', lambda folder: 64 << 20)
    (problem,) = transport.find_problems(environment, tmp_path)
    assert '64 MiB' in problem.what
    assert '--shm-size' in problem.cure
    monkeypatch.setattr(transport, 'shared_memory_bytes', lambda folder: 1 << 30)
    assert transport.find_problems(environment, tmp_path) == ()


def test_profile_has_the_segment_the_code_speaks_of():
    root = ElementTree.parse(config_file('fastdds.xml')).getroot()
    sizes = [int(element.text) for element in root.iter(f'{NAMESPACE}segment_size')]
    assert sizes == [transport.SEGMENT_BYTES]
    defined = [e.text for e in root.find(f'{NAMESPACE}transport_descriptors').iter(
        f'{NAMESPACE}transport_id')]  # fmt: skip
    used = [e.text for e in root.find(f'{NAMESPACE}participant').iter(f'{NAMESPACE}transport_id')]
    assert defined == used
    participant = root.find(f'{NAMESPACE}participant')
    assert participant.get('is_default_profile') == 'true'
    assert participant.find(f'.//{NAMESPACE}useBuiltinTransports').text == 'false'
