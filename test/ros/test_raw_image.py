"""Images read from the bytes that the middleware carries."""

import contextlib
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from ros_harness import image_message
from sensor_msgs.msg import Image

from depth_ros.errors import MessageError
from depth_ros.messages.images import image_to_rgb
from depth_ros.ros.raw_image import RawImage


def picture(height=5, width=7):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


@given(
    frame_id=st.text(st.characters(exclude_characters='\0', exclude_categories=['Cs'])),
    encoding=st.sampled_from(['rgb8', 'mono8', 'bayer_rggb16', '']),
    sec=st.integers(-(2**31), 2**31 - 1),
    nanosec=st.integers(0, 2**32 - 1),
    sizes=st.tuples(*[st.integers(0, 2**32 - 1)] * 3),
    data=st.binary(max_size=40),
)
def test_every_field_is_as_rclpy_reads_it(frame_id, encoding, sec, nanosec, sizes, data):
    message = Image(encoding=encoding, is_bigendian=1)
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
    message.height, message.width, message.step = sizes
    message.data.frombytes(data)
    raw = RawImage.read(serialize_message(message))
    assert raw.header == message.header
    assert (raw.height, raw.width, raw.step) == sizes
    assert (raw.encoding, raw.is_bigendian, bytes(raw.data)) == (encoding, 1, data)


def test_big_endian():
    start = b'\0\0\0\0' + struct.pack('>iI', 12, 34) + struct.pack('>I4s', 4, b'cam\0')
    sizes = struct.pack('>III', 2, 3, 6) + b'mono8\0'
    raw = RawImage.read(start + sizes + b'\0\0' + struct.pack('>II', 3, 6) + bytes(range(6)))
    assert (raw.header.stamp.sec, raw.header.stamp.nanosec) == (12, 34)
    assert (raw.header.frame_id, raw.encoding) == ('cam', 'mono8')
    assert (raw.height, raw.width, raw.step, bytes(raw.data)) == (2, 3, 3, bytes(range(6)))


def test_pixels_are_not_copied():
    rgb = picture()
    data = serialize_message(image_message(rgb, 1))
    seen = image_to_rgb(RawImage.read(data))
    np.testing.assert_array_equal(seen, rgb)
    assert np.shares_memory(seen, np.frombuffer(data, np.uint8))


def test_what_is_cut_off_is_refused():
    pixels = picture(2, 2)
    data = serialize_message(image_message(pixels, 1))
    for end in range(data.index(pixels.tobytes()) + pixels.size):
        with pytest.raises(MessageError, match='no serialised'):
            RawImage.read(data[:end])


@pytest.mark.parametrize('start', [b'', b'\0', b'\0\2\0\0', b'\0\7\0\0', b'\x80\1\0\0'])
def test_another_encapsulation_is_refused(start):
    data = serialize_message(image_message(picture(), 1))
    with pytest.raises(MessageError, match='no serialised'):
        RawImage.read(start + data[len(start) :] if len(start) == 4 else start)


def test_text_that_is_no_text_is_refused():
    data = serialize_message(image_message(picture(), 1, frame_id='camera'))
    with pytest.raises(MessageError, match='no serialised'):
        RawImage.read(data.replace(b'camera', b'cam\xff\xffa'))


@given(st.binary(max_size=80))
def test_whatever_comes_is_an_image_or_refused(noise):
    for data in (noise, b'\0\1\0\0' + noise):
        with contextlib.suppress(MessageError):
            assert len(RawImage.read(data).data) <= len(noise)


def test_spoilt_bytes_are_an_image_of_their_size_or_refused():
    whole = serialize_message(image_message(picture(), 1))
    dice, taken = random.Random(3), 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(dice.choice((90, len(data))))  # mostly what comes before pixels
            data[at] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
        if dice.random() < 0.2:
            del data[dice.randrange(len(data)) :]
        with contextlib.suppress(MessageError):
            message = RawImage.read(bytes(data))
            assert image_to_rgb(message).shape == (message.height, message.width, 3)
            taken += 1
    assert 100 < taken < 2900
