"""Depth to a picture."""

import numpy as np
import pytest

from depth_ros.colorize import colorize_depth, depth_range


def ramp():
    return np.tile(np.linspace(1, 10, 200, dtype=np.float32), (50, 1))


def test_near_is_red_and_far_is_blue():
    picture = colorize_depth(ramp()).astype(int)
    near, far = picture[:, :5].mean(axis=(0, 1)), picture[:, -5:].mean(axis=(0, 1))
    assert near[2] > near[0]
    assert far[0] > far[2]


@pytest.mark.parametrize('unknown', [np.nan, np.inf, 0.0, -1.0])
def test_unknown_is_black(unknown):
    depth = ramp()
    depth[10:20, 30:50] = unknown
    picture = colorize_depth(depth)
    assert not picture[10:20, 30:50].any()
    assert picture[30:].any(axis=2).all()


@pytest.mark.parametrize('value', [np.nan, 2.0])
def test_nothing_and_one_value(value):
    picture = colorize_depth(np.full((20, 30), value, np.float32))
    assert picture.shape == (20, 30, 3)
    assert picture.any() == np.isfinite(value)


def test_colours_do_not_depend_on_the_unit():
    np.testing.assert_array_equal(colorize_depth(ramp()), colorize_depth(4 * ramp()))


def test_given_limits_make_pictures_comparable():
    depth = ramp()
    whole = colorize_depth(depth, (1.0, 10.0))
    part = colorize_depth(depth[:, 100:], (1.0, 10.0))
    np.testing.assert_array_equal(whole[:, 100:], part)


def test_range_of_a_sample_is_about_that_of_all():
    depth = np.random.default_rng(0).uniform(1, 9, (480, 640)).astype(np.float32)
    np.testing.assert_allclose(depth_range(depth), np.percentile(depth, (2, 98)), rtol=0.02)


def test_range_of_nothing():
    assert depth_range(np.full((8, 8), np.nan, np.float32)) is None


def test_farther_than_the_range_is_as_blue_as_its_end():
    picture = colorize_depth(ramp(), (1.0, 5.0))
    assert (picture[:, -40:] == picture[0, -1]).all()
    np.testing.assert_array_equal(picture[0, -1], colorize_depth(ramp(), (1.0, 10.0))[0, -1])


def test_is_painted_where_it_shall_be():
    out = np.ones((50, 200, 3), np.uint8)
    depth = ramp()
    depth[10:20] = np.nan
    assert colorize_depth(depth, out=out) is out
    np.testing.assert_array_equal(out, colorize_depth(depth))
