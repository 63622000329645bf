"""Which camera_info belongs to an image."""

import pytest
from ros_harness import FRAME, info_message

from depth_ros.errors import CameraError
from depth_ros.ros.camera_infos import CameraInfos

SIZE = (96, 72)


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


def test_camera_info_of_the_same_stamp_but_another_size_does_not_fit():
    infos = CameraInfos()
    infos.store(info_message(*SIZE, 1, focal=101.0))
    infos.store(info_message(48, 36, 2, focal=102.0))
    assert match(infos, 2).k[0] == 101.0


def test_refusals_name_both_sides():
    infos = CameraInfos()
    with pytest.raises(CameraError, match='no camera_info'):
        match(infos, 1)
    infos.store(info_message(48, 36, 1))
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
