"""What the node answers over DDS is what `depth_ros process` writes of the same frames."""

import time

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from ros_camera import stamp_of
from ros_harness import RELIABLE, Peer, image_message, info_message, wait_for
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from depth_ros import synthetic
from depth_ros.bags import BagReader, BagWriter
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cli.main import main
from depth_ros.messages import bag_messages

CAMERA = Intrinsics(260.0, 260.0, 159.5, 119.5, 320, 240)
FRAME = 'camera'
SECOND = 1_000_000_000
FRAMES = 12
OUTPUTS = (
    (Image, '/depth/image'),
    (Image, '/confidence/image'),
    (Odometry, '/odom'),
)


@pytest.fixture(scope='module')
def pictures():
    """A walk through a room at 15 Hz: stamps and pictures."""
    scene = synthetic.make_scene(seed=1_000_201)
    poses = synthetic.make_path(scene, FRAMES, 15.0, seed=1_000_201)
    return [(100 * SECOND + round(index * SECOND / 15), synthetic.render(scene, CAMERA, pose)[0])
            for index, pose in enumerate(poses)]


def send(peer, stamp, rgb):
    peer.publish('camera_info', info_message(CAMERA.width, CAMERA.height, stamp, CAMERA.fx, FRAME),
                 RELIABLE)
    peer.publish('image', image_message(rgb, stamp, FRAME), RELIABLE)


def answered_by_node(network, pictures):
    """By topic and stamp, of the pictures that the node took."""
    peer = Peer(network)
    try:
        received = {topic: peer.collect(kind, topic) for kind, topic in OUTPUTS}

        def answers(topic, stamp):
            return next((m for m in received[topic] if stamp_of(m) == stamp), None)

        with network.depth_node(model='lite0', refine_motion=True):
            # Until the node knows all of its listeners; then it begins anew.
            for index in range(200):
                if all(received.values()):
                    break
                send(peer, SECOND + round(index * SECOND / 15), pictures[index % 2][1])
                time.sleep(0.1)
            assert peer.call(Trigger, '/depth_node/reset', Trigger.Request()).success
            taken = []
            for stamp, rgb in pictures:
                send(peer, stamp, rgb)
                try:
                    wait_for(lambda stamp=stamp: answers('/odom', stamp), 'an answer', 15.0)
                except AssertionError:  # lost on its way, or overtaken: not one that it took
                    continue
                taken.append((stamp, rgb))
            for stamp, _ in taken[1:]:
                wait_for(lambda stamp=stamp: all(answers(topic, stamp) for _, topic in OUTPUTS),
                         'every output')
        return taken, {topic: {stamp_of(m): m for m in received[topic]} for topic in received}
    finally:
        peer.close()


def processed(folder, taken):
    """What the command makes of the same pictures, by topic and stamp."""
    with BagWriter(folder / 'in') as bag:
        for stamp, rgb in taken:
            bag.write('/image', bag_messages.IMAGE, stamp,
                      bag_messages.image(stamp, FRAME, rgb, 'rgb8'))
            bag.write('/camera_info', bag_messages.CAMERA_INFO, stamp,
                      bag_messages.camera_info(stamp, FRAME, CAMERA))
    assert main(['process', str(folder / 'in'), '--model', 'lite0', '--confidence',
                 '--out', str(folder / 'out')]) == 0
    found = {topic: {} for _, topic in OUTPUTS}
    with BagReader(folder / 'out') as reader:
        for topic, stamp, message in reader.messages(list(found)):
            found[topic][stamp] = message
    return found


def odometry_values(message):
    """Everything of nav_msgs/Odometry but the names of frames."""
    pose, twist = message.pose.pose, message.twist.twist
    values = [getattr(part, axis) for part in (pose.position, twist.linear, twist.angular)
              for axis in 'xyz']
    values += [getattr(pose.orientation, axis) for axis in 'xyzw']
    return [*values, *message.pose.covariance, *message.twist.covariance]


def test_node_and_process_agree_to_the_last_bit(network, pictures, tmp_path):
    taken, live = answered_by_node(network, pictures)
    assert len(taken) >= FRAMES // 2
    offline = processed(tmp_path, taken)
    for topic in ('/depth/image', '/confidence/image'):
        assert set(offline[topic]) <= set(live[topic])
        for stamp, message in offline[topic].items():
            np.testing.assert_array_equal(
                np.asarray(live[topic][stamp].data), np.asarray(message.data), f'{topic} {stamp}')
    assert len(offline['/confidence/image']) >= len(taken) - 2
    for stamp, message in offline['/odom'].items():
        assert odometry_values(live['/odom'][stamp]) == odometry_values(message)
