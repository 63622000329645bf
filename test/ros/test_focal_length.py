"""Models that take any camera, in the node: intrinsics of camera_info, or by leave its own."""

from __future__ import annotations

from pathlib import Path

import graphs
import numpy as np
import pytest
from ros_camera import HEIGHT, WIDTH, Camera, as_array
from ros_harness import wait_for
from sensor_msgs.msg import CameraInfo, Image

FOV_PER_GREY = 0.5
GREY = 120
FOCAL = WIDTH / 2 / np.tan(np.radians(FOV_PER_GREY * GREY) / 2)


@pytest.fixture(scope='module')
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Depth fx / width * 0.02 * grey; sees half a degree of field of view for each grey level."""
    spec = graphs.spec(motion=None, name='seeing')
    graph = graphs.canonical_graph(spec, FOV_PER_GREY)
    return graphs.write_model(tmp_path_factory.mktemp('models') / 'seeing', spec, graph).path


class GreyCamera(Camera):
    """Of a focal length of 60 pixels, where it is calibrated."""

    picture = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)


class Uncalibrated(GreyCamera):
    """Sends camera_info whose K and P are 0."""

    calibrated = False


def is_refused(told: dict[str, str], reason: str) -> bool:
    return reason in told.get('wrong: camera', '')


def test_depth_is_by_the_focal_length_of_camera_info(network, peer, seeing):
    depths = peer.collect(Image, 'depth/image')
    camera = GreyCamera(peer)
    with network.depth_node(model=seeing, allow_estimated_focal=True):
        camera.send_until(depths)
        peer.wait_diagnosis(
            lambda d: d['focal length'] == 'of camera_info' and d['level'] == '0', camera.send)
    depth = as_array(depths[-1], np.float32)
    np.testing.assert_allclose(depth, 60.0 / WIDTH * 0.02 * GREY, rtol=1e-4)


def test_uncalibrated_cameras_are_refused_and_by_leave_estimated(network, peer, seeing):
    depths = peer.collect(Image, 'depth/image')
    infos = peer.collect(CameraInfo, 'depth/camera_info')
    camera = Uncalibrated(peer)
    with network.depth_node(model=seeing):
        told = peer.wait_diagnosis(lambda d: is_refused(d, 'is not calibrated'), camera.send)
        assert told['level'] == '2'
        assert 'K[0] = 0 in camera_info' in told['wrong: camera']
        assert 'allow_estimated_focal' in told['wrong: camera']
        assert not depths
        assert peer.set_parameter('allow_estimated_focal', True).successful
        camera.send_until(depths)
        told = peer.wait_diagnosis(
            lambda d: 'wrong: focal length' in d and 'wrong: camera' not in d, camera.send)
        assert told['level'] == '1'
        assert told['focal length'] == (
            'estimated by the model: horizontal field of view 60.0 degrees'
        )
        assert 'calibrate the camera' in told['cure: focal length']
        wait_for(lambda: infos, 'depth/camera_info')
        # A calibrated camera takes its place, and the warning goes.
        known = GreyCamera(peer)
        known.sent = camera.sent + 100
        told = peer.wait_diagnosis(lambda d: d['focal length'] == 'of camera_info', known.send)
    assert infos[0].k[0] == pytest.approx(FOCAL, rel=1e-4)
    assert infos[0].k[4] == infos[0].p[0] == infos[0].k[0]
    depth = as_array(depths[0], np.float32)
    np.testing.assert_allclose(depth, FOCAL / WIDTH * 0.02 * GREY, rtol=1e-4)


def test_leave_does_not_help_a_model_that_sees_no_focal_length(network, peer, model):
    depths = peer.collect(Image, 'depth/image')
    camera = Uncalibrated(peer)
    with network.depth_node(model=model, allow_estimated_focal=True):
        reason = "model 'tiny' tells no field of view"
        peer.wait_diagnosis(lambda d: is_refused(d, reason), camera.send)
    assert not depths
