"""The other camera of a rig, by name and by calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import shared_bag
from recordings import CAMERA, stamp_of

from depth_ros.bags import BagReader, BagWriter, CameraTopics, find_stereo_partner
from depth_ros.errors import BagError
from depth_ros.messages import bag_messages

GREY = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8)


def write(path: Path, cameras: dict[str, float]) -> Path:
    """A bag of cameras: namespace -> how far right of the left camera."""
    with BagWriter(path) as bag:
        for name, right_m in cameras.items():
            image = bag_messages.image(stamp_of(0), 'camera', GREY, 'rgb8')
            bag.write(f'{name}/image_raw', bag_messages.IMAGE, stamp_of(0), image)
            info = bag_messages.camera_info(stamp_of(0), 'camera', CAMERA, right_m)
            bag.write(f'{name}/camera_info', bag_messages.CAMERA_INFO, stamp_of(0), info)
    return path


def partner_of(bag: Path, name: str, image: str | None = None) -> str | None:
    with BagReader(bag) as reader:
        own = CameraTopics(f'{name}/image_raw', f'{name}/camera_info')
        found = find_stereo_partner(reader, own, image)
    return found and found.image


def test_left_and_right_find_each_other(tmp_path: Path) -> None:
    bag = write(tmp_path / 'bag', {'/rig/left': 0.0, '/rig/right': 0.1, '/rear': 0.3})
    assert partner_of(bag, '/rig/left') == '/rig/right/image_raw'
    assert partner_of(bag, '/rig/right') == '/rig/left/image_raw'
    assert partner_of(bag, '/rig/left', '/rear/image_raw') == '/rear/image_raw'


def test_other_names_are_told_by_calibration(tmp_path: Path) -> None:
    bag = write(tmp_path / 'bag', {'/infra1': 0.0, '/infra2': 0.05, '/copyright': 0.0})
    assert partner_of(bag, '/infra1') == '/infra2/image_raw'
    with pytest.raises(BagError, match='2 cameras beside /infra2'):
        partner_of(bag, '/infra2')


def test_one_camera_has_no_partner(tmp_path: Path) -> None:
    assert partner_of(write(tmp_path / 'one', {'/cam': 0.0}), '/cam') is None
    assert partner_of(write(tmp_path / 'two', {'/front': 0.0, '/rear': 0.0}), '/front') is None


def test_a_real_pair() -> None:
    with BagReader(shared_bag('street')) as reader:
        side = '/stereo/left'
        own = CameraTopics(f'{side}/image_rect_color/compressed', f'{side}/camera_info')
        found = find_stereo_partner(reader, own)
    assert found == CameraTopics(
        '/stereo/right/image_rect_color/compressed', '/stereo/right/camera_info'
    )
