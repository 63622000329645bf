"""Message decoding, sound and unsound, against naive loops."""

from __future__ import annotations

from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from helpers import make_header, make_image
from hypothesis import given
from hypothesis import strategies as st

from depth_ros.errors import MessageError
from depth_ros.messages.images import depth_to_metres, image_to_rgb, mask_to_alpha
from depth_ros.messages.poses import matrix_to_quaternion, pose_to_matrix
from depth_ros.messages.stamps import stamp_ns

RNG = np.random.default_rng(3)
RGB = RNG.integers(0, 256, (6, 10, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 10), dtype=np.uint8)
ALPHA = np.full((6, 10, 1), 9, np.uint8)


def compressed(data: np.ndarray | bytes, form: str) -> SimpleNamespace:
    return SimpleNamespace(header=make_header(), format=form, data=np.frombuffer(data, np.uint8))


def test_stamps_of_ros_2_and_ros_1():
    assert stamp_ns(make_header(12_000_000_034)) == 12_000_000_034
    old = SimpleNamespace(stamp=SimpleNamespace(secs=3, nsecs=4))
    assert stamp_ns(old) == 3_000_000_004


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize(
    ('pixels', 'encoding', 'expected'),
    [
        (RGB, 'rgb8', RGB),
        (RGB, 'bgr8', RGB[..., ::-1]),
        (np.dstack([RGB, ALPHA]), 'rgba8', RGB),
        (np.dstack([RGB, ALPHA]), 'bgra8', RGB[..., ::-1]),
        (GREY, 'mono8', np.dstack([GREY] * 3)),
        (GREY.astype('<u2') * 256 + 17, 'mono16', np.dstack([GREY] * 3)),
        (RGB.astype('<u2') * 256 + 17, 'bgr16', RGB[..., ::-1]),
    ],
)
def test_plain_encodings_with_and_without_row_padding(pixels, encoding, expected, padding):
    np.testing.assert_array_equal(image_to_rgb(make_image(pixels, encoding, padding)), expected)


def test_the_last_row_may_lack_its_padding():
    message = make_image(RGB, 'rgb8', padding=5)
    message.data = message.data[:-5]
    np.testing.assert_array_equal(image_to_rgb(message), RGB)


def test_data_may_be_an_array_or_bytes():
    for kind in (bytes, lambda data: array('B', data.tobytes())):
        message = make_image(RGB, 'rgb8')
        message.data = kind(message.data)
        np.testing.assert_array_equal(image_to_rgb(message), RGB)


def test_byte_order_is_honoured():
    message = make_image((GREY.astype(np.uint16) * 256).astype('>u2'), 'mono16')
    message.is_bigendian = 1
    np.testing.assert_array_equal(image_to_rgb(message)[..., 0], GREY)


@pytest.mark.parametrize(
    ('encoding', 'tile'),
    [
        ('bayer_rggb8', 'RGGB'),
        ('bayer_bggr8', 'BGGR'),
        ('bayer_gbrg8', 'GBRG'),
        ('bayer_grbg8', 'GRBG'),
    ],
)
def test_bayer_mosaics_of_one_colour(encoding, tile):
    value = dict(zip('RGB', (200, 120, 40)))
    cell = np.array([value[c] for c in tile], np.uint8).reshape(2, 2)
    rgb = image_to_rgb(make_image(np.tile(cell, (8, 8)), encoding))
    assert rgb.shape == (16, 16, 3)
    np.testing.assert_array_equal(rgb[4:-4, 4:-4], np.broadcast_to((200, 120, 40), (8, 8, 3)))


@pytest.mark.parametrize(('encoding', 'luma_at'), [('uyvy', 1), ('yuv422_yuy2', 0), ('yuyv', 0)])
def test_grey_yuv_keeps_its_brightness(encoding, luma_at):
    pixels = np.full((4, 8, 2), 128, np.uint8)
    pixels[..., luma_at] = 126
    rgb = image_to_rgb(make_image(pixels, encoding)).astype(int)
    assert np.ptp(rgb) <= 2
    assert rgb.mean() == pytest.approx((126 - 16) * 255 / 219, abs=2)


def test_an_unknown_encoding_is_named_with_the_supported_ones():
    with pytest.raises(MessageError, match=r"'64FC9'.*rgb8.*bayer_rggb8"):
        image_to_rgb(make_image(RGB, '64FC9'))


@pytest.mark.parametrize(
    ('name', 'value'),
    [('step', 29), ('height', 7), ('width', 0), ('height', 0), ('height', 2**31), ('width', 11)],
)
def test_sizes_that_do_not_fit_the_data_are_refused(name, value):
    message = make_image(RGB, 'rgb8')
    setattr(message, name, value)
    with pytest.raises(MessageError):
        image_to_rgb(message)


def test_yuv_of_odd_width_is_refused():
    with pytest.raises(MessageError, match='5x4'):
        image_to_rgb(make_image(np.zeros((4, 5, 2), np.uint8), 'uyvy'))


def test_png_and_jpeg_give_rgb():
    png = cv2.imencode('.png', RGB[..., ::-1])[1]
    np.testing.assert_array_equal(image_to_rgb(compressed(png, 'rgb8; png compressed bgr8')), RGB)
    np.testing.assert_array_equal(image_to_rgb(compressed(png, 'png')), RGB)
    flat = np.full((16, 16, 3), (10, 100, 220), np.uint8)
    jpeg = cv2.imencode('.jpg', flat[..., ::-1])[1]
    decoded = image_to_rgb(compressed(jpeg, 'jpeg')).astype(int)
    assert np.abs(decoded - flat).max() < 6


def test_channels_that_image_transport_swapped_are_swapped_back():
    png = cv2.imencode('.png', RGB)[1]
    np.testing.assert_array_equal(image_to_rgb(compressed(png, 'rgb8; png compressed rgb8')), RGB)


def test_png_of_one_channel_16_bits_or_with_alpha():
    grey = cv2.imencode('.png', GREY.astype(np.uint16) * 256)[1]
    np.testing.assert_array_equal(image_to_rgb(compressed(grey, 'mono16; png'))[..., 1], GREY)
    alpha = cv2.imencode('.png', np.dstack([RGB[..., ::-1], ALPHA]))[1]
    np.testing.assert_array_equal(image_to_rgb(compressed(alpha, 'png')), RGB)


def test_a_compressed_mosaic_is_a_mosaic():
    mosaic = np.tile(np.array([[200, 120], [120, 40]], np.uint8), (8, 8))
    png = cv2.imencode('.png', mosaic)[1]
    rgb = image_to_rgb(compressed(png, 'bayer_rggb8; png compressed '))
    np.testing.assert_array_equal(rgb[8, 8], (200, 120, 40))


@pytest.mark.parametrize('ending', ['.png', '.jpg'])
@pytest.mark.parametrize('share', [0.0, 0.01, 0.3, 0.9])
def test_truncated_files_are_refused(ending, share):
    noise = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = cv2.imencode(ending, noise)[1]
    message = compressed(data[: int(len(data) * share)].tobytes(), ending)
    with pytest.raises(MessageError):
        image_to_rgb(message)


def test_a_file_that_claims_an_impossible_size_is_not_decoded():
    data = bytearray(cv2.imencode('.png', RGB)[1].tobytes())
    data[16:24] = (100_000).to_bytes(4, 'big') * 2
    with pytest.raises(MessageError, match='100000x100000'):
        image_to_rgb(compressed(bytes(data), 'png'))


@given(st.binary(max_size=64), st.sampled_from([b'', b'\xff\xd8', b'\x89PNG\r\n\x1a\n']))
def test_garbage_costs_a_message_error_and_no_more(garbage, magic):
    with pytest.raises(MessageError):
        image_to_rgb(compressed(magic + garbage, 'jpeg'))


DEPTH_M = np.array([[0.5, np.nan], [1.234, 60.0]], np.float32)
DEPTH_MM = np.array([[500, 0], [1234, 60000]], np.uint16)


def test_raw_depth_in_millimetres_and_metres():
    np.testing.assert_allclose(depth_to_metres(make_image(DEPTH_MM, '16UC1', 6)), DEPTH_M)
    metres = np.array([[0.5, np.inf], [1.234, 60.0]], np.float32)
    for unknown in (np.inf, np.nan, 0.0, -1.0):
        metres[0, 1] = unknown
        decoded = depth_to_metres(make_image(metres, '32FC1'))
        assert decoded.dtype == np.float32
        np.testing.assert_allclose(decoded, DEPTH_M)


def test_compressed_depth_in_millimetres_with_and_without_its_header():
    png = cv2.imencode('.png', DEPTH_MM)[1].tobytes()
    for prefix in (bytes(12), b''):
        message = compressed(prefix + png, '16UC1; compressedDepth png')
        np.testing.assert_allclose(depth_to_metres(message), DEPTH_M)


def test_quantised_depth_is_undone_as_compressed_depth_image_transport_does_it():
    a, b = 100.0 * 101.0, 1 - 100.0 * 101.0 / 100.0  # depthQuantization 100, depthMax 100 m
    depth = np.array([[0.8, 2.0], [5.0, 20.0]], np.float32)
    quantised = np.rint(a / depth + b).astype(np.uint16)
    quantised[1, 1] = 0
    header = np.zeros(1, np.int32).tobytes() + np.array([a, b], np.float32).tobytes()
    png = cv2.imencode('.png', quantised)[1].tobytes()
    decoded = depth_to_metres(compressed(header + png, '32FC1; compressedDepth png'))
    assert np.isnan(decoded[1, 1])
    np.testing.assert_allclose(decoded[0], depth[0], rtol=2e-3)


@pytest.mark.parametrize(
    'message',
    [
        make_image(RGB, 'rgb8'),
        compressed(b'\0' * 40, '16UC1; compressedDepth rvl'),
        compressed(bytes(12) + cv2.imencode('.png', GREY)[1].tobytes(), '16UC1; compressedDepth'),
    ],
)
def test_what_is_not_depth_is_refused(message):
    with pytest.raises(MessageError):
        depth_to_metres(message)


MASK = np.array([[0, 255], [51, 102], [153, 204]], np.uint8)
MASK_PICTURE = np.dstack([np.full((3, 2, 3), 77, np.uint8), MASK])
ALPHA_VALUES = np.array([[0.0, 1.0], [0.2, 0.4], [0.6, 0.8]], np.float32)


def png_of(pixels: np.ndarray, form: str = 'png') -> SimpleNamespace:
    return compressed(cv2.imencode('.png', pixels)[1], form)


@pytest.mark.parametrize(
    'message',
    [
        make_image(MASK, 'mono8', 6),
        make_image(MASK, '8UC1'),
        make_image(MASK.astype('<u2') * 257, 'mono16', 6),
        make_image(MASK.astype('<u2') * 257, '16UC1'),
        make_image(MASK_PICTURE, 'rgba8', 5),
        make_image(MASK_PICTURE, 'bgra8'),
        png_of(MASK, 'mono8; png compressed '),
        png_of(MASK.astype(np.uint16) * 257),
        png_of(MASK_PICTURE),
    ],
)
def test_a_mask_is_alpha_by_the_range_of_its_type(message):
    alpha = mask_to_alpha(message)
    assert alpha.dtype == np.float32
    np.testing.assert_allclose(alpha, ALPHA_VALUES, rtol=1e-6)


@pytest.mark.parametrize(
    ('message', 'words'),
    [
        (make_image(RGB, 'rgb8'), r"mask encoding 'rgb8' .*supported: mono8, .*rgba8"),
        (make_image(DEPTH_M, '32FC1'), r"mask encoding '32FC1'"),
        (png_of(RGB), r"mask of format 'png' has 3 channels \(supported: PNG of 1"),
        (compressed(cv2.imencode('.jpg', GREY)[1], 'jpeg'), "format 'jpeg' is not PNG"),
        (compressed(b'', 'png'), 'is not PNG'),
    ],
)
def test_what_is_not_a_mask_is_refused(message, words):
    with pytest.raises(MessageError, match=words):
        mask_to_alpha(message)


def pose(q, t=(0.0, 0.0, 0.0)) -> SimpleNamespace:
    return SimpleNamespace(
        position=SimpleNamespace(x=t[0], y=t[1], z=t[2]),
        orientation=SimpleNamespace(x=q[0], y=q[1], z=q[2], w=q[3]),
    )


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternions_survive_the_way_through_a_matrix(q):
    matrix = pose_to_matrix(pose(q, (1.0, 2.0, 3.0)))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
    np.testing.assert_array_equal(matrix[:, 3], (1, 2, 3, 1))
    again = pose_to_matrix(pose(matrix_to_quaternion(matrix[:3, :3])))
    np.testing.assert_allclose(again[:3, :3], matrix[:3, :3], atol=1e-12)


def test_a_quarter_turn_about_z_takes_x_to_y():
    matrix = pose_to_matrix(pose((0, 0, np.sqrt(0.5), np.sqrt(0.5))))
    np.testing.assert_allclose(matrix[:3, 0], (0, 1, 0), atol=1e-12)


@pytest.mark.parametrize('q', [(0, 0, 0, 0), (np.nan, 0, 0, 1)])
def test_poses_without_a_rotation_are_refused(q):
    with pytest.raises(MessageError):
        pose_to_matrix(pose(q))
