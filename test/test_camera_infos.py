"""Which camera_info belongs to an image."""

import pytest
from helpers import make_intrinsics

from depth_ros.errors import CameraError
from depth_ros.messages import bag_messages as build
from depth_ros.messages.camera_infos import CameraInfos

SIZE = (96, 72)
FRAME = 'camera_optical_frame'


def info_message(width, height, stamp, focal=60.0, frame_id=FRAME):
    message = build.camera_info(stamp, frame_id, make_intrinsics(max(width, 1), max(height, 1)))
    message.width, message.height, message.k[0] = width, height, focal
    return message


def match(infos, stamp, frame=FRAME, size=SIZE):
    return infos.match(stamp, frame, *size)


def test_same_stamp_comes_first():
    infos = CameraInfos()
    for stamp in (1, 2, 3):
        infos.store(info_message(*SIZE, stamp, focal=100.0 + stamp))
    assert match(infos, 2).k[0] == 102.0


def test_latest_of_the_size_and_frame_otherwise():
    infos = CameraInfos()
    infos.store(info_message(*SIZE, 1, focal=101.0))
    infos.store(info_message(*SIZE, 2, focal=102.0))
    infos.store(info_message(48, 36, 3, focal=103.0))
    infos.store(info_message(*SIZE, 4, focal=104.0, frame_id='other'))
    assert match(infos, 9).k[0] == 102.0


def test_latched_camera_info_serves_forever():
    infos = CameraInfos()
    infos.store(info_message(*SIZE, 1))
    for other in range(100):
        infos.store(info_message(48, 36, 2 + other))
    assert match(infos, 10**12).width == SIZE[0]


def test_camera_info_without_a_frame_fits_any():
    infos = CameraInfos()
    infos.store(info_message(*SIZE, 1, frame_id=''))
    assert match(infos, 1, frame='whatever').width == SIZE[0]


def test_the_only_frame_on_the_topic_serves_images_of_another():
    infos = CameraInfos()
    infos.store(info_message(*SIZE, 1, focal=101.0, frame_id='camera_link'))
    infos.store(info_message(*SIZE, 2, focal=102.0, frame_id='camera_link'))
    assert match(infos, 1).k[0] == 101.0
    assert match(infos, 9).k[0] == 102.0
    assert match(infos, 9).frame_id == 'camera_link'
    with pytest.raises(CameraError, match=r"48x36 in frame 'camera_opt.*96x72 in frame 'camera_l"):
        match(infos, 9, size=(48, 36))


def test_cameras_that_share_a_topic_are_not_taken_for_each_other():
    infos = CameraInfos()
    for stamp in (1, 2):  # exposed together
        infos.store(info_message(*SIZE, stamp, focal=101.0, frame_id='left'))
        infos.store(info_message(*SIZE, stamp, focal=102.0, frame_id='right'))
    for stamp in (2, 9):
        assert match(infos, stamp, 'left').k[0] == 101.0
        assert match(infos, stamp, 'right').k[0] == 102.0
        with pytest.raises(CameraError, match=r"frame 'rear'.*frame 'right'.*frame 'left'"):
            match(infos, stamp, 'rear')


def test_camera_info_of_the_same_stamp_but_another_size_does_not_fit():
    infos = CameraInfos()
    infos.store(info_message(*SIZE, 1, focal=101.0))
    infos.store(info_message(48, 36, 2, focal=102.0))
    assert match(infos, 2).k[0] == 101.0


def test_refusals_name_both_sides():
    infos = CameraInfos()
    assert not infos.has_any
    with pytest.raises(CameraError, match='no camera_info'):
        match(infos, 1)
    infos.store(info_message(48, 36, 1))
    assert infos.has_any
    with pytest.raises(CameraError, match=r'96x72.*48x36'):
        match(infos, 1)
    infos.clear()
    with pytest.raises(CameraError, match='no camera_info'):
        match(infos, 1)


def test_one_that_makes_no_sense_stands_in_no_other_ones_way():
    infos = CameraInfos()
    infos.store(info_message(*SIZE, 1, focal=101.0))
    infos.store(info_message(0, 0, 2))
    assert match(infos, 9).k[0] == 101.0
    with pytest.raises(CameraError, match='0x0'):
        match(infos, 2)  # its own
    with pytest.raises(CameraError, match='0x0'):
        match(infos, 9, size=(48, 36))
    infos.store(info_message(*SIZE, 3, focal=float('nan')))
    with pytest.raises(CameraError, match='not finite'):
        match(infos, 9)


def test_a_recording_waits_for_the_image_s_own_or_a_later_one_of_its_frame():
    infos = CameraInfos()
    assert not infos.is_settled(1, FRAME)
    infos.store(info_message(*SIZE, 5, frame_id='other'))
    assert not infos.is_settled(1, FRAME)
    infos.store(info_message(*SIZE, 2))
    assert infos.is_settled(1, FRAME)
    assert infos.is_settled(2, FRAME)
    assert not infos.is_settled(5, FRAME)
    infos.store(info_message(*SIZE, 7, frame_id=''))
    assert infos.is_settled(7, FRAME)
