"""What a broken camera or its driver sends, to one node that lives through all of it.

After each fault a good frame has to be answered rightly, the diagnostics have to have told what
happened, and every frame has to be counted once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from ros_camera import HEIGHT, SECOND, START, WIDTH, stamp_of, textured
from ros_harness import FRAME, image_message, info_message, wait_for
from ros_robot import LATER, Robot, is_right, living
from sensor_msgs.msg import Image


@pytest.fixture(scope='module')
def robot(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Robot]:
    """One node for all of them, in their order."""
    with living(tmp_path_factory, pytestconfig, 'faults') as robot:
        yield robot


def test_camera_info_that_is_missing_and_late(robot):
    picture = image_message(textured(), START)
    send = robot.publishing(picture)
    robot.told('wrong: camera', 'no camera_info has arrived', meanwhile=send)
    late = info_message(WIDTH, HEIGHT, START - SECOND)
    wait_for(lambda: [robot.peer.publish('camera_info', late), send()] and robot.depths,
             'an answer')  # fmt: skip
    is_right(robot.depths[-1], textured())
    assert int(robot.recovered()['frames refused']) > 0


def test_malformed_images(robot):
    def spoilt(**changes) -> Image:
        image = image_message(textured(), START)
        for name, value in changes.items():
            setattr(image, name, value)
        return image

    short = spoilt()
    del short.data[100:]
    empty = spoilt(width=0, height=0, step=0)
    del empty.data[:]
    for image, words in (
        (spoilt(step=5), ('step 5', '288 bytes')),
        (short, ('needs 20736 bytes, not 100',)),
        (empty, ('0x0', '1 to')),
        (spoilt(encoding='weird'), ("'weird'", 'rgb8')),
        (spoilt(width=1 << 31, height=1 << 31), ('2147483648x2147483648', '1 to')),
        (spoilt(width=10_000, height=10_000, step=30_000), ('needs 300000000 bytes',)),
    ):
        told = robot.told('wrong: image', *words, meanwhile=robot.publishing(image))
        assert int(told['frames refused']) > 0
        robot.good()
    robot.recovered()


def test_bytes_that_are_no_message(robot):
    whole = serialize_message(image_message(textured(), START))
    pixels = textured().tobytes()
    size = (4_000_000_000).to_bytes(4, 'little')
    for data, words in (
        (b'\0\1\0\0', 'no serialised sensor_msgs/Image'),
        (whole[:500], '500 bytes are no serialised'),
        (whole[: -len(pixels) - 4] + size + pixels, '4000000000 bytes are announced'),
        (whole.replace(FRAME.encode(), b'\xff' * len(FRAME)), 'utf-8'),
    ):
        robot.told('wrong: image', words,
                   meanwhile=lambda data=data: robot.peer.publish('image', data))  # fmt: skip
        robot.good()
    info = serialize_message(info_message(WIDTH, HEIGHT, START))
    for data in (info[:40], info.replace(b'\5\0\0\0' + bytes(8), b'\xff' * 12), b'\0\1\0\0'):
        for _ in range(20):
            robot.peer.publish('camera_info', data)
        robot.good()
    robot.recovered()


def test_calibrations_that_make_no_sense(robot):
    for number, (values, words) in enumerate((
        ({0: float('nan')}, ('K has values that are not finite',)),
        ({0: 0.0, 4: 0.0}, ('not calibrated', 'K[0] = 0')),
        ({0: 1e12}, ('fx = 1e+12', 'allowed')),
        ({2: 1e9}, ('cx = 1e+09', 'allowed')),
    )):
        # A frame of its own, or the good camera_info from before would serve.
        frame = f'camera_{number}'
        info = info_message(WIDTH, HEIGHT, START, frame_id=frame)
        for at, value in values.items():
            info.k[at] = value

        def send(frame: str = frame, info=info) -> None:
            robot.peer.publish('camera_info', info)
            robot.peer.publish('image', image_message(textured(), START, frame))

        robot.told('wrong: camera', *words, meanwhile=send)
        robot.good()
    other = image_message(textured(0, 64, 48), START)
    robot.told('wrong: camera', '64x48', '96x72', meanwhile=robot.publishing(other))
    robot.recovered()


def test_another_resolution_in_mid_stream(robot):
    odometry = robot.peer.collect(Odometry, 'odom')
    for number, size in enumerate(((64, 48), (96, 72), (160, 120), (32, 64))):
        for again in range(2):
            stamp = START + 2 * LATER + (2 * number + again) * SECOND // 10
            robot.answered(textured(number, *size), stamp)
    wait_for(lambda: odometry, 'odometry')
    told = robot.peer.wait_diagnosis(lambda d: 'the camera changed' in d['odometry'], robot.good)
    assert 'started anew' in told['odometry']
    robot.recovered()


def test_stamps_that_jump_repeat_and_start_over(robot):
    for index in (50, 51, 49, 52, 20, 53, 53, 53, 1_000_000, 54, *(0, 1, 2) * 3):
        robot.answered(textured(index % 100), START + index * SECOND // 10)
    robot.told(
        'wrong: stamp', f'{START / SECOND:.3f} of an image repeats that of the one before',
        level='1', meanwhile=lambda: robot.send(textured(), START),
    )  # fmt: skip
    robot.good()
    robot.told('wrong: stamp', 's before that of the one before', level='1',
               meanwhile=lambda: [robot.good(), robot.answered(textured(), START)])  # fmt: skip
    robot.peer.wait_diagnosis(
        lambda d: 'time went back by' in d['odometry'],
        lambda: [robot.answered(textured(i), START + i * SECOND // 10) for i in (9, 8)],
    )
    robot.recovered()


def test_a_burst_at_many_times_the_rate(robot):
    before = robot.now()
    pictures = [image_message(textured(i), START + i * SECOND // 300) for i in range(300)]
    robot.peer.publish('camera_info', info_message(WIDTH, HEIGHT, START))
    seen = len(robot.depths)
    for picture in pictures:
        robot.peer.publish('image', picture)
    told = robot.recovered()
    # Best effort may lose some on the way; what came in has gone one way.
    assert int(told['frames in']) > int(before['frames in']) + 1
    stamps = {stamp_of(picture): i for i, picture in enumerate(pictures)}
    for depth in robot.depths[seen:]:
        if stamp_of(depth) in stamps:
            is_right(depth, textured(stamps[stamp_of(depth)]))


@pytest.mark.slow
def test_subscribers_that_come_and_go(robot):
    node = robot.peer.node
    for _ in range(2):
        for subscription in list(node.subscriptions):
            if subscription.topic_name in ('/depth/image', '/odom'):
                node.destroy_subscription(subscription)
        before = int(robot.now()['frames unwanted'])
        robot.peer.wait_diagnosis(
            lambda d, before=before: int(d['frames unwanted']) > before,
            lambda: robot.send(textured(), START),
        )
        robot.depths = robot.peer.collect(Image, 'depth/image')
        robot.recovered()


@pytest.mark.parametrize('sense', [True, False])
def test_odometry_of_nonsense_does_not_flood(robot, sense):
    peer = robot.peer
    assert peer.set_parameter('scale_source', 'odometry').successful
    odometry = Odometry()
    odometry.header.frame_id = 'odom'
    for index in range(100):
        stamp = START + 4 * LATER + index * SECOND // 100
        odometry.header.stamp.sec, odometry.header.stamp.nanosec = divmod(stamp, SECOND)
        odometry.pose.pose.orientation.w = float('nan') if index % 2 or not sense else 1.0
        peer.publish('odometry', odometry)
    robot.told('wrong: odometry', 'quaternion', 'nan', level='1',
               meanwhile=lambda: peer.publish('odometry', odometry))  # fmt: skip
    assert robot.node.log.count('quaternion') <= 4
    assert peer.set_parameter('scale_source', 'model').successful
    robot.recovered()


def test_transforms_that_go_round_in_a_circle_cost_odometry_alone(robot):
    TFMessage = pytest.importorskip('tf2_msgs.msg').TFMessage
    peer = robot.peer
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    odometry = peer.collect(Odometry, 'odom')

    def transforms(*pairs: tuple[str, str], x: float = 0.0) -> TFMessage:
        sent = []
        for parent, child in pairs:
            transform = TransformStamped(child_frame_id=child)
            transform.header.frame_id = parent
            transform.transform.translation.x = x
            sent.append(transform)
        return TFMessage(transforms=sent)

    assert peer.set_parameter('base_frame', 'base_link').successful
    for message, words in (
        (transforms(('a', FRAME), ('b', 'a'), ('a', 'b')), 'loop through frame'),
        (transforms(('base_link', FRAME), x=float('nan')), 'nan'),
    ):
        def send(message: TFMessage = message) -> None:
            peer.publish('/tf_static', message, latched)
            robot.good()  # depth is answered all the same

        robot.told('wrong: tf', words, meanwhile=send, level='1')
    wait_for(lambda: [peer.publish('/tf_static', transforms(('base_link', FRAME)), latched),
                      robot.good()] and odometry, 'odometry')  # fmt: skip
    robot.recovered()
    assert peer.set_parameter('base_frame', '').successful
