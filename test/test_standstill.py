"""Standing still against moving, noise, exposure and darkness."""

import cv2
import numpy as np
import pytest

from depth_ros.motion.standstill import is_blind, shift_between, stands_still, thumbnail


def texture(seed=0, size=(192, 300)):
    rng = np.random.default_rng(seed)
    image = np.zeros((*size, 3), np.float32)
    for sigma in (1, 4, 16):
        layer = cv2.GaussianBlur(rng.normal(0, 1, (*size, 3)), (0, 0), sigma)
        image += layer / layer.std()
    return np.clip(128 + 30 * image, 0, 255).astype(np.uint8)


def noisy(image, sigma, seed):
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize('sigma', [0, 2, 4])
def test_noise_is_no_motion(sigma):
    image = texture()[:, :256]
    assert stands_still(thumbnail(noisy(image, sigma, 1)), thumbnail(noisy(image, sigma, 2)))


@pytest.mark.parametrize('gain', [0.9, 0.97, 1.05])
def test_exposure_is_no_motion(gain):
    image = texture()[:, :256]
    exposed = np.clip(image * gain, 0, 255).astype(np.uint8)
    assert stands_still(thumbnail(image), thumbnail(exposed))


@pytest.mark.parametrize('pixels', [1, 2, 8, 40])
def test_one_pixel_is_motion(pixels):
    image = texture()
    first, second = thumbnail(image[:, :256]), thumbnail(image[:, pixels : 256 + pixels])
    assert not stands_still(first, second)


def test_shift_is_about_the_shift():
    image = texture()
    first, second = thumbnail(image[:, :256]), thumbnail(image[:, 2:258])
    assert 0.2 < shift_between(first, second) < 0.8


@pytest.mark.parametrize('level', [0, 128, 255])
def test_a_covered_lens_is_blind(level):
    image = np.full((192, 256, 3), level, np.uint8)
    assert is_blind(thumbnail(image))
    assert is_blind(thumbnail(noisy(image, 2, 0)))
    assert not is_blind(thumbnail(texture()))
