"""The plainest tenth of a picture, and the score over it."""

import numpy as np
import pytest

from depth_ros.evaluation.depth_scores import DepthScorer, TrueFrame
from depth_ros.evaluation.protocol import DepthProtocol
from depth_ros.evaluation.texture import image_gradient, textureless

RNG = np.random.default_rng(0)


def half_plain(height=40, width=80):
    """RGB: a plain wall with a faint slope on the left half, noise on the right."""
    image = RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)
    image[:, : width // 2] = 120 + np.arange(width // 2)[None, :, None] // 8
    return image


def test_gradient_of_a_ramp_is_its_slope():
    ramp = np.repeat((3 * np.arange(60, dtype=np.uint8))[None, :, None], 3, 2).repeat(40, 0)
    gradient = image_gradient(ramp)
    np.testing.assert_allclose(gradient[10:-10, 10:-10], 3.0, atol=1e-4)
    np.testing.assert_allclose(image_gradient(ramp.transpose(1, 0, 2)).T, gradient, atol=1e-4)


def test_plain_pixels_are_the_tenth_of_the_counted_with_least_gradient():
    image = half_plain()
    counted = RNG.random(image.shape[:2]) < 0.6
    plain = textureless(image, counted)
    assert not (plain & ~counted).any()
    assert not plain[:, 44:].any()
    gradient = image_gradient(image)
    assert gradient[plain].max() <= gradient[counted & ~plain].min()
    assert plain.sum() >= round(0.1 * counted.sum())


def test_noise_has_exactly_a_tenth():
    image = RNG.integers(0, 256, (50, 60, 3)).astype(np.uint8)
    plain = textureless(image, np.ones((50, 60), bool))
    assert abs(int(plain.sum()) - 300) <= 3


def test_the_crest_of_a_pattern_is_not_plain():
    image = np.full((40, 120, 3), 128, np.uint8)
    image[:, :90] = (128 + 100 * np.sin(np.arange(90) * 2 * np.pi / 12))[None, :, None]
    plain = textureless(image, np.ones((40, 120), bool))
    assert not plain[:, :88].any()


@pytest.mark.parametrize('size', [(20, 40), (80, 160)])
def test_truth_may_have_another_size(size):
    plain = textureless(half_plain(), np.ones(size, bool))
    assert plain.shape == size
    assert plain[:, : size[1] // 2].sum() > 0
    assert not plain[:, int(0.6 * size[1]):].any()


def test_without_truth_nothing_is_plain():
    assert not textureless(half_plain(), np.zeros((40, 80), bool)).any()


def test_score_is_over_plain_pixels_at_the_scale_of_all():
    image, protocol = half_plain(), DepthProtocol()
    truth_m = np.full((40, 80), 4.0)
    truth = TrueFrame.of(0, image, truth_m, protocol)
    predicted_m = np.where(truth.plain, 3.0, 2.0)
    scorer = DepthScorer('model', protocol)
    scorer.add(truth, predicted_m)
    scores = scorer.scores()
    # Most of the image says 2, so the factor is 2, and plain pixels have 6 for 4 metres.
    assert scores.plain.median_scaled == pytest.approx(0.5)
    assert scores.plain.unscaled == pytest.approx(0.25)
    assert scores.median_scaled.abs_rel == pytest.approx(0.5 * truth.plain.mean())


@pytest.mark.parametrize('size', [(40, 80), (20, 40)])
def test_what_the_image_does_not_show_is_not_plain(size):
    image, seen = half_plain(), np.ones((40, 80), bool)
    image[:, 60:], seen[:, 60:] = 0, False  # as rectifying leaves it
    plain = TrueFrame.of(0, image, np.ones(size), DepthProtocol(), seen=seen).plain
    assert plain[:, : size[1] // 2].any()
    assert not plain[:, size[1] // 2 :].any()


def test_without_a_mask_there_is_no_plain_score():
    scorer = DepthScorer('model', DepthProtocol())
    scorer.add(TrueFrame(0, np.ones((2, 2))), np.ones((2, 2)))
    assert scorer.scores().plain is None
