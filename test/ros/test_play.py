"""The verb play: what was recorded arrives, with its timing."""

from __future__ import annotations

import itertools
import signal
import time

import numpy as np
import pytest
import recordings
from nav_msgs.msg import Odometry
from ros_harness import Network, Peer, wait_for
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from depth_ros.bags import BagWriter

FRAMES = 8


def stamp_of(message) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def play(network: Network, bag, *arguments: str):
    return network.start('depth_ros', 'play', str(bag), *arguments)


def test_every_topic_arrives_as_recorded(network: Network, peer: Peer, tmp_path):
    bag = recordings.write_recording(tmp_path / 'bag', FRAMES)
    images = peer.collect(Image, '/image')
    infos = peer.collect(CameraInfo, '/camera_info')
    depths = peer.collect(Image, '/depth/image')
    poses = peer.collect(Odometry, '/truth')
    log = tmp_path / 'log.csv'
    with play(network, bag, '--rate', '4', '--log', str(log)) as player:
        assert player.status() == 0, player.log
    assert f'{4 * FRAMES} messages' in player.log
    wait_for(lambda: len(poses) == FRAMES, 'the last message')
    stamps = [recordings.stamp_of(index) for index in range(FRAMES)]
    for received in (images, infos, depths, poses):
        assert [stamp_of(message) for message in received] == stamps
    grey = np.frombuffer(images[3].data, np.uint8).reshape(recordings.HEIGHT, -1, 3)
    np.testing.assert_array_equal(grey[..., 0], recordings.grey_image(3))
    assert images[3].header.frame_id == 'camera'
    np.testing.assert_allclose(infos[0].k[0], recordings.CAMERA.fx)
    # The log has both kinds of images, and times 4 of the recorded rate of 5 Hz.
    rows = [line.split(',') for line in log.read_text().splitlines()]
    assert rows[0] == ['stamp_ns', 'published_ns']
    assert sorted({int(row[0]) for row in rows[1:]}) == stamps
    published = [int(row[1]) for row in rows[1:]]
    seconds = (published[-1] - published[0]) / 1e9
    assert abs(seconds - (FRAMES - 1) * 0.2 / 4) < 0.2


def test_camera_takes_the_names_that_the_node_listens_to(network: Network, peer: Peer, tmp_path):
    bag = recordings.write_recording(tmp_path / 'bag', FRAMES)
    images = peer.collect(Image, '/robot/image')
    infos = peer.collect(CameraInfo, '/robot/camera_info')
    poses = peer.collect(Odometry, '/pose')
    arguments = ['--camera', '--namespace', '/robot', '--image', '/image', '--rate', '8']
    with play(network, bag, *arguments, '--remap', '/truth:=/pose') as player:
        assert player.status() == 0, player.log
    wait_for(lambda: len(poses) == FRAMES, 'the last message')
    assert len(images) == len(infos) == FRAMES


def test_clock_tells_recorded_time_and_loop_begins_again(network: Network, peer: Peer, tmp_path):
    bag = recordings.write_recording(tmp_path / 'bag', 4, depth=False, odometry=False)
    clocks = peer.collect(Clock, '/clock')
    images = peer.collect(Image, '/image')
    with play(network, bag, '--loop', '--clock', '--rate', '4', '--wait', '1') as player:
        wait_for(lambda: len(images) >= 9, 'the third round')
        player.signal()
        assert player.status() == 0, player.log
    times = [c.clock.sec * 1_000_000_000 + c.clock.nanosec for c in clocks]
    first, last = recordings.stamp_of(0), recordings.stamp_of(3)
    assert first <= min(times)
    assert max(times) <= last + 1_000_000_000
    assert any(later < earlier for earlier, later in itertools.pairwise(times))
    assert len(set(times)) > 8


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_loop_logs_what_it_published_so_far(network: Network, peer: Peer, tmp_path, number):
    bag = recordings.write_recording(tmp_path / 'bag', 4, depth=False, odometry=False)
    images = peer.collect(Image, '/image')
    log = tmp_path / 'log.csv'
    with play(network, bag, '--loop', '--rate', '8', '--wait', '1', '--log', str(log)) as player:
        wait_for(lambda: len(images) >= 9, 'the third round')
        player.signal(number)
        player.status()
    header, *rows = log.read_text().splitlines()
    assert header == 'stamp_ns,published_ns'
    assert len(rows) >= 9
    stamps = [int(row.split(',')[0]) for row in rows]
    assert stamps == [recordings.stamp_of(index % 4) for index in range(len(rows))]
    published = [int(row.split(',')[1]) for row in rows]
    assert published == sorted(published)


def test_types_that_are_not_installed_are_left_out_by_name(
    network: Network, peer: Peer, tmp_path
):
    from rosbags.typesys import get_types_from_msg

    path = tmp_path / 'bag'
    with BagWriter(path) as bag:
        bag.types.register(get_types_from_msg('int32 value', 'strange_msgs/msg/Strange'))
        strange = bag.types.types['strange_msgs/msg/Strange']
        bag.write('/strange', 'strange_msgs/msg/Strange', recordings.stamp_of(0), strange(3))
    with play(network, path, '--wait', '0') as player:
        assert player.status() == 2
    assert '/strange is left out: strange_msgs/msg/Strange is not installed' in player.log
    assert 'depth_ros play: error:' in player.log
    assert 'Traceback' not in player.log


def test_wrong_arguments_get_one_line(network: Network, tmp_path):
    bag = recordings.write_recording(tmp_path / 'bag', 2)
    for arguments, words in (
        ([str(tmp_path / 'none')], 'does not exist'),
        ([str(bag), '--topics', '/nothing'], 'no topic /nothing'),
        ([str(bag), '--rate', '0'], 'rate is 0'),
        ([str(bag), '--remap', 'a=b'], 'FROM:=TO'),
        ([str(bag), '--log', str(tmp_path / 'none' / 'log')], 'No such file'),
    ):
        with network.start('depth_ros', 'play', *arguments) as player:
            assert player.status() == 2
        (line,) = player.log.strip().splitlines()
        assert line.startswith('depth_ros play: error:')
        assert words in line


def test_nothing_is_played_before_the_node_has_its_model(network: Network, peer, model, tmp_path):
    bag = recordings.write_recording(tmp_path / 'bag', FRAMES)
    images = peer.collect(Image, '/image')
    with play(network, bag, '--wait-for-node', '/depth_node') as player:
        wait_for(lambda: 'waiting for /depth_node: not heard of yet' in player.log, 'its word')
        with network.depth_node(model=model, autostart=False):
            assert peer.transition('configure')
            wait_for(lambda: 'waiting for /depth_node: inactive' in player.log, 'its word')
            assert images == []
            assert peer.transition('activate')
            assert player.status() == 0, player.log
    wait_for(lambda: len(images) == FRAMES, 'the last image')


def test_node_answers_a_played_bag(network: Network, peer: Peer, model, tmp_path):
    bag = recordings.write_recording(tmp_path / 'bag', 12)
    depths = peer.collect(Image, 'node_depth')
    with network.depth_node('depth/image:=node_depth', model=model, use_sim_time=True):
        peer.wait_loaded()
        with play(network, bag, '--camera', '--image', '/image', '--clock') as player:
            assert player.status() == 0, player.log
        time.sleep(0.5)
    stamps = {stamp_of(message) for message in depths}
    assert stamps <= {recordings.stamp_of(index) for index in range(12)}
    assert len(stamps) >= 11
