"""A small Depth Pro in the node, on pictures of a real camera."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from helpers import shared_bag
from ros_camera import as_array, stamp_of
from ros_harness import Peer, image_message, wait_for
from sensor_msgs.msg import CameraInfo, Image

from depth_ros.bags import BagFrame, BagReader, Selection, find_camera_topics, read_frames
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.model_folder.model import Model
from depth_ros.offline.recordings import rectified
from depth_ros.pipeline import DepthPipeline
from depth_ros.ros.outputs import camera_info

pytest.importorskip('torch')
FRAMES = 3


@pytest.fixture(scope='module')
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    import tiny_depth_pro

    return tiny_depth_pro.write_model(tmp_path_factory.mktemp('models') / 'small')


@pytest.fixture(scope='module')
def kitchen() -> tuple[list[BagFrame], str]:
    path: Path = shared_bag('kitchen')
    with BagReader(path) as reader:
        topics = find_camera_topics(reader, None, None)
    return list(islice(read_frames(path, topics, Selection()), FRAMES)), topics.image


def info_of(intrinsics: Intrinsics, image: Image, calibrated: bool) -> CameraInfo:
    info = camera_info(intrinsics, image.header)
    if not calibrated:
        info.k, info.p = np.zeros(9), np.zeros(12)
    return info


@pytest.mark.slow
@pytest.mark.parametrize('calibrated', [True, False])
def test_its_answers_are_those_of_the_pipeline(network, peer, small, kitchen, calibrated):
    recorded, topic = kitchen
    frames = list(rectified(recorded, RectifyMode.AUTO, topic))
    with closing(DepthPipeline.open(small)) as pipeline:
        answers = pipeline.run(frames)
        expected = [answer.view.depth_to_camera(answer.depth) for answer in answers]
        fov_deg = pipeline.fov_deg(frames[0].image)
    depths = peer.collect(Image, 'depth/image')
    infos = peer.collect(CameraInfo, 'depth/camera_info')

    with network.depth_node(model=small.path, allow_estimated_focal=True, rectify='never'):
        for frame in frames:
            image = image_message(frame.image, frame.stamp_ns, frame.frame_id)
            info = info_of(frame.intrinsics, image, calibrated)
            send_until_answered(peer, image, info, depths)
        wait_for(lambda: infos, 'depth/camera_info')
        told = peer.wait_diagnosis(lambda d: d['focal length'] != 'no frame yet')
    by_stamp = {stamp_of(depth): as_array(depth, np.float32) for depth in depths}
    for frame, depth_m in zip(frames, expected):
        told_fx = infos[-1].k[0] if not calibrated else frame.intrinsics.fx
        found = by_stamp[frame.stamp_ns] * frame.intrinsics.fx / told_fx
        both = ~np.isnan(found) & ~np.isnan(depth_m)
        assert both.mean() > 0.5
        np.testing.assert_allclose(found[both], depth_m[both], rtol=0.05)
    if calibrated:
        assert infos[-1].k[0] == pytest.approx(frames[0].intrinsics.fx)
        assert told['focal length'] == 'of camera_info'
    else:
        width = frames[0].image.shape[1]
        focal = width / 2 / np.tan(np.radians(fov_deg) / 2)
        assert infos[-1].k[0] == pytest.approx(focal, rel=0.05)
        assert 'estimated by the model' in told['focal length']


def send_until_answered(peer: Peer, image: Image, info: CameraInfo, depths: list[Image]) -> None:
    """A picture may pass before all are matched, or while the model still loads."""
    for _ in range(60):
        peer.publish('camera_info', info)
        peer.publish('image', image)
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            if any(stamp_of(depth) == stamp_of(image) for depth in depths):
                return
            time.sleep(0.01)
    raise AssertionError('no answer to a picture that was sent 60 times')
