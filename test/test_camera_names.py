"""Names of cameras, and where their topics are found."""

import pytest

from depth_ros.cameras.camera_names import camera_topic, check_names, remappings
from depth_ros.errors import ConfigError


@pytest.mark.parametrize('names', [[''], ['front'], ['front', 'left_2', 'R3'], ('a', 'b')])
def test_good_names(names):
    check_names(names)


@pytest.mark.parametrize(
    ('names', 'words'),
    [
        ([], '0 cameras'),
        (['a'] * 17, '17 cameras, allowed: 1 to 16'),
        (['front', ''], "''; allowed: letters"),
        (['2left'], "'2left'"),
        (['front/left'], "'front/left'"),
        (['front__left'], "'front__left'"),
        (['front_'], "'front_'"),
        (['vorne_ä'], 'vorne'),
        (['front', 'left', 'front'], "'front' twice"),
    ],
)
def test_bad_names_are_refused_with_what_is_allowed(names, words):
    with pytest.raises(ConfigError, match=words):
        check_names(names)


def test_topics_stand_below_the_name():
    assert camera_topic('', 'depth/image') == 'depth/image'
    assert camera_topic('left', 'depth/image') == 'left/depth/image'


def test_remappings_put_the_name_in_its_place():
    topics = {'image': '/rig/{camera}/image_raw', 'camera_info': 'camera_info'}
    assert remappings(['front', 'left'], topics) == [
        ('front/image', '/rig/front/image_raw'),
        ('left/image', '/rig/left/image_raw'),
    ]
    assert remappings([''], {'image': '/camera/image'}) == [('image', '/camera/image')]
    assert remappings(['front'], {'image': '/cam'}) == [('front/image', '/cam')]


def test_one_topic_for_several_cameras_is_refused():
    with pytest.raises(ConfigError, match=r"image is '/cam' for all of front, left; put {camera}"):
        remappings(['front', 'left'], {'image': '/cam'})
