"""Messages that are filled in place."""

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_ros.ros.buffers import ImageBuffer


def depth(height=6, width=9):
    return np.random.default_rng(0).uniform(1, 9, (height, width)).astype(np.float32)


def received(message):
    """As a reader gets it."""
    return deserialize_message(serialize_message(message), Image)


def test_what_is_written_into_the_pixels_is_sent_without_a_copy():
    buffer = ImageBuffer('32FC1', np.float32, 1)
    pixels = buffer.pixels(6, 9)
    np.copyto(pixels, depth())
    message = received(buffer.filled(Header(frame_id='camera'), pixels))
    assert (message.encoding, message.height, message.width, message.step) == ('32FC1', 6, 9, 36)
    assert message.header.frame_id == 'camera'
    np.testing.assert_array_equal(np.frombuffer(message.data, np.float32).reshape(6, 9), depth())
    assert np.shares_memory(pixels, np.frombuffer(buffer.message.data, np.uint8))


def test_other_values_are_copied():
    buffer = ImageBuffer('bgr8', np.uint8, 3)
    picture = np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8)
    message = received(buffer.filled(Header(), picture))
    assert (message.height, message.width, message.step) == (4, 5, 15)
    assert bytes(message.data) == picture.tobytes()
    assert not np.shares_memory(picture, np.frombuffer(buffer.message.data, np.uint8))


def test_the_memory_stays_while_the_size_does():
    buffer = ImageBuffer('32FC1', np.float32, 1)
    first = buffer.pixels(6, 9)
    assert np.shares_memory(first, buffer.pixels(6, 9))
    other = buffer.pixels(9, 6)
    assert other.shape == (9, 6)
    assert not np.shares_memory(first, other)
    assert len(received(buffer.filled(Header(), other)).data) == 9 * 6 * 4
