"""Boundary scores against their properties and a second implementation by the letter."""

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from depth_ros.evaluation.boundaries import (
    THRESHOLDS,
    WEIGHTS,
    TrueBoundaries,
    is_dense,
    mask_recall,
)
from depth_ros.evaluation.depth_scores import DepthScorer, TrueFrame
from depth_ros.evaluation.metrics import DepthRange
from depth_ros.evaluation.protocol import DepthProtocol

DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
SHAPES = npst.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=7)
DEPTHS = st.one_of(st.integers(1, 12).map(float), st.floats(0.5, 20.0))
HOLEY = st.one_of(DEPTHS, DEPTHS, DEPTHS, st.sampled_from([0.0, -1.0, math.nan, math.inf]))


def known(value):
    return math.isfinite(value) and value > 0.0


def pairs_of(shape, direction):
    """Every (i, j) of a map in a direction."""
    height, width = shape
    for v in range(height):
        for u in range(width):
            j = (v + direction[0], u + direction[1])
            if 0 <= j[0] < height and 0 <= j[1] < width:
                yield (v, u), j


def ratio_of(depth, i, j):
    """e_j / e_i with e the inverse depth, exactly."""
    return Fraction(max(float(depth[i]), 1e-6)) / Fraction(max(float(depth[j]), 1e-6))


def naive_score(predicted, truth):
    """F1, precision and recall; None where no pair can be compared to a true contour."""
    total = np.zeros(3)
    seen = 0
    for weight, t in zip(WEIGHTS, map(Fraction, THRESHOLDS)):
        precision, recall = 0.0, 0.0
        for direction in DIRECTIONS:
            both = ours = theirs = 0
            for i, j in pairs_of(truth.shape, direction):
                if not all(known(depth[p]) for depth in (predicted, truth) for p in (i, j)):
                    continue
                is_predicted = ratio_of(predicted, i, j) > t
                is_true = ratio_of(truth, i, j) > t
                both += is_predicted and is_true
                ours += is_predicted
                theirs += is_true
            precision += both / max(ours, 1) / 4.0
            recall += both / max(theirs, 1) / 4.0
            seen += theirs
        f1 = 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0
        total += weight * np.array([f1, precision, recall])
    return total if seen else None


def thinned(depth, direction, t):
    """The pairs (i, j) with a contour that stay: the largest of each run along the direction."""
    runs = {}
    last = {}
    for i, j in pairs_of(depth.shape, direction):
        if not known(depth[i]) or not known(depth[j]) or ratio_of(depth, i, j) <= t:
            continue
        line, place = (i[0], i[1]) if direction[0] == 0 else (i[1], i[0])
        number, before = last.get(line, (0, None))
        if before is None or place != before + 1:
            number += 1
        last[line] = (number, place)
        runs.setdefault((line, number), []).append((i, j))
    return {max(run, key=lambda pair: ratio_of(depth, *pair)) for run in runs.values()}


def naive_mask_recall(predicted, alpha):
    total, seen = 0.0, 0
    for weight, t in zip(WEIGHTS, map(Fraction, THRESHOLDS)):
        for direction in DIRECTIONS:
            outline = {(i, j) for i, j in pairs_of(alpha.shape, direction)
                       if alpha[j] > 0.1 and alpha[i] <= 0.1
                       and known(predicted[i]) and known(predicted[j])}
            found = len(outline & thinned(predicted, direction, t))
            total += weight * found / max(len(outline), 1) / 4.0
            seen += len(outline)
    return total if seen else None


def agree(score, expected):
    if expected is None:
        return score is None
    return [score.f1, score.precision, score.recall] == pytest.approx(list(expected), abs=1e-6)


def scene(seed=0, shape=(24, 31), objects=6):
    """Rectangles in front of a slope, a little noise."""
    rng = np.random.default_rng(seed)
    depth = np.tile(np.linspace(8.0, 6.0, shape[1]), (shape[0], 1))
    for _ in range(objects):
        v, u = rng.integers(0, shape[0] - 5), rng.integers(0, shape[1] - 5)
        height, width = rng.integers(3, 10, 2)
        depth[v:v + height, u:u + width] = rng.uniform(1.0, 5.0)
    return depth * rng.uniform(0.995, 1.005, shape)


def square(ratio, shape=(12, 16)):
    """A near square in front of a wall: edges in all four directions."""
    depth = np.full(shape, 3.0 * ratio)
    depth[4:8, 5:11] = 3.0
    return depth


def boundary_score(predicted, truth):
    """As the evaluation compares one map with its truth."""
    boundaries = TrueBoundaries.of(truth)
    return None if boundaries is None else boundaries.score(predicted)


def blurred(depth, side=5):
    return cv2.blur(depth, (side, side))


@settings(deadline=None)
@given(st.data())
def test_score_equals_the_naive_one(data):
    shape = data.draw(SHAPES)
    predicted, truth = (data.draw(npst.arrays(np.float64, shape, elements=HOLEY))
                        for _ in range(2))
    assert agree(boundary_score(predicted, truth), naive_score(predicted, truth))


@settings(deadline=None)
@given(st.data())
def test_mask_recall_equals_the_naive_one(data):
    shape = data.draw(SHAPES)
    predicted = data.draw(npst.arrays(np.float64, shape, elements=HOLEY))
    alpha = data.draw(npst.arrays(np.float64, shape, elements=st.sampled_from([0, 0.1, 0.2, 1])))
    expected = naive_mask_recall(predicted, alpha)
    recall = mask_recall(predicted, alpha)
    assert recall is None if expected is None else recall == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_structured_maps_equal_the_naive_ones(seed, dtype):
    truth = scene(seed).astype(dtype)
    rng = np.random.default_rng(seed)
    predicted = blurred(truth, 3) * rng.uniform(0.98, 1.02, truth.shape).astype(dtype)
    truth[rng.random(truth.shape) < 0.1] = np.nan
    predicted[rng.random(truth.shape) < 0.05] = 0.0
    score = boundary_score(predicted, truth)
    assert 0.0 < score.f1 < 1.0
    assert agree(score, naive_score(predicted, truth))
    alpha = np.nan_to_num(truth) > 0.0
    alpha &= np.nan_to_num(truth, nan=9.0) < 4.0
    recall = mask_recall(predicted, alpha)
    assert recall == pytest.approx(naive_mask_recall(predicted, alpha), abs=1e-6)
    assert recall > 0.0


def test_weights_are_the_published_ones():
    assert (WEIGHTS[0], WEIGHTS[-1]) == pytest.approx((0.0913, 0.1087), abs=5e-5)
    assert WEIGHTS.sum() == pytest.approx(1.0)


def test_truth_scores_one_where_contours_exceed_every_threshold():
    score = boundary_score(square(2.0), square(2.0))
    assert (score.f1, score.precision, score.recall) == pytest.approx((1.0, 1.0, 1.0))


def test_thresholds_above_the_step_count_as_nothing():
    step = square(1.12)
    assert boundary_score(step, step).f1 == pytest.approx(0.3768, abs=5e-5)


def test_a_direction_without_contours_counts_as_nothing():
    wall = np.full((6, 8), 4.0)
    wall[:, 4:] = 2.0
    assert boundary_score(wall, wall).f1 == pytest.approx(0.25)


@pytest.mark.parametrize('factor', [1e-3, 0.37, 5.0, 1e4])
def test_scale_does_not_matter(factor):
    truth = scene(5)
    predicted = blurred(truth, 3)
    assert boundary_score(factor * predicted, truth) == boundary_score(predicted, truth)
    assert mask_recall(factor * predicted, truth < 5.0) == mask_recall(predicted, truth < 5.0)


def test_a_constant_finds_nothing():
    truth = scene()
    score = boundary_score(np.ones_like(truth), truth)
    assert (score.f1, score.precision, score.recall) == (0.0, 0.0, 0.0)
    assert mask_recall(np.ones_like(truth), truth < 5.0) == 0.0


def test_blur_costs_recall_and_noise_costs_precision():
    truth = square(2.0, (40, 50))
    sharp, soft, softer = (boundary_score(blurred(truth, side), truth) for side in (1, 5, 9))
    assert sharp.f1 > soft.f1 > softer.f1
    assert softer.recall < 0.5
    noisy = truth * np.random.default_rng(0).uniform(0.9, 1.1, truth.shape)
    score = boundary_score(noisy, truth)
    assert score.recall == pytest.approx(1.0)
    assert score.precision < 0.5


def test_an_edge_one_pixel_off_is_not_found():
    truth = square(2.0)
    assert boundary_score(np.roll(truth, (1, 1), (0, 1)), truth).f1 == 0.0


def test_nothing_to_find_is_no_score():
    flat = np.full((5, 6), 2.0)
    assert TrueBoundaries.of(flat) is None
    assert TrueBoundaries.of(np.full((5, 6), np.nan)) is None
    assert boundary_score(np.full((12, 16), np.nan), square(2.0)) is None
    assert mask_recall(flat, np.zeros((5, 6))) is None


def test_pairs_with_an_unknown_pixel_are_left_out_of_both_maps():
    truth, predicted = square(2.0), square(2.0)
    truth[2, 2], truth[9, 3] = np.nan, 0.0
    assert boundary_score(predicted, truth).f1 == pytest.approx(1.0)
    # Invented contours at pixels of which nothing is known are not held against a prediction.
    predicted[2, 2] = predicted[9, 3] = 0.1
    assert boundary_score(predicted, truth).f1 == pytest.approx(1.0)
    # Nor is what a prediction does not know.
    predicted[4, 5] = np.nan
    assert boundary_score(predicted, truth).f1 == pytest.approx(1.0)
    truth[2, 2] = 6.0
    assert boundary_score(predicted, truth).precision < 1.0


def test_a_step_over_the_mask_is_found_and_its_blur_is_not():
    depth = square(1.3, (40, 50))
    mask = depth < 3.5
    assert mask_recall(depth, mask) == pytest.approx(1.0)
    soft, softer, softest = (mask_recall(cv2.GaussianBlur(depth, (9, 9), sigma), mask)
                             for sigma in (0.6, 0.9, 1.4))
    assert softest < softer < soft < 1.0


def test_thinning_leaves_one_contour_a_run():
    # From 4 m to 1 m in two steps: the larger one is the edge, wherever the mask has it.
    row = np.array([[4.0, 4.0, 3.0, 1.0, 1.0]])
    depth = np.repeat(row, 3, axis=0)
    assert mask_recall(depth, depth < 2.0) == pytest.approx(0.25)
    assert mask_recall(depth, depth < 3.5) == 0.0


def test_a_mask_is_foreground_above_a_tenth():
    depth = square(2.0)
    alpha = np.where(depth < 4.0, 0.11, 0.1)
    assert mask_recall(depth, alpha) == pytest.approx(1.0)
    assert mask_recall(depth, np.minimum(alpha, 0.1)) is None


def test_one_truth_serves_many_predictions():
    truth = scene(3)
    boundaries = TrueBoundaries.of(truth)
    for side in (1, 3, 5):
        predicted = blurred(truth, side)
        assert boundaries.score(predicted) == boundary_score(predicted, truth)


def test_inputs_stay_as_they_are():
    truth, predicted = scene(1), scene(2)
    truth[3, 3] = 0.0
    copies = truth.copy(), predicted.copy()
    boundary_score(predicted, truth)
    mask_recall(predicted, truth)
    np.testing.assert_array_equal(truth, copies[0])
    np.testing.assert_array_equal(predicted, copies[1])


@pytest.mark.parametrize('order', ['C', 'F'])
def test_memory_order_does_not_matter(order):
    truth, predicted = scene(1), blurred(scene(1), 3)
    expected = boundary_score(predicted, truth)
    ours, theirs = np.asarray(predicted, order=order), np.asarray(truth, order='F')
    assert boundary_score(ours, theirs) == expected
    turned = boundary_score(predicted[::-1, ::-1], truth[::-1, ::-1])
    assert turned.f1 == pytest.approx(expected.f1)


@pytest.mark.parametrize('compare', [boundary_score, mask_recall])
def test_other_shapes_are_refused_in_one_line(compare):
    for predicted, truth in (((4, 5), (5, 4)), ((4,), (4,)), ((1, 4, 5), (1, 4, 5)),
                             ((4, 5), (4,)), ((4, 5, 1), (4, 5))):
        stepped = np.full(truth, 2.0)
        stepped.flat[0] = 1.0
        with pytest.raises(ValueError, match=r'\(.*\).*\[H,W\]') as refused:
            compare(np.ones(predicted), stepped)
        assert '\n' not in str(refused.value)


def test_sparse_truth_is_not_dense():
    rng = np.random.default_rng(0)
    depth = scene()
    assert is_dense(depth)
    assert is_dense(np.where(rng.random(depth.shape) < 0.1, np.nan, depth))
    assert not is_dense(np.where(rng.random(depth.shape) < 0.9, 0.0, depth))
    rows = np.full_like(depth, np.nan)
    rows[::4] = depth[::4]
    assert not is_dense(rows)
    assert not is_dense(np.full_like(depth, np.nan))


def image_for(depth):
    return np.zeros((*depth.shape, 3), np.uint8)


def test_frames_have_contours_where_truth_is_dense_and_from_images():
    depth, protocol = square(2.0), DepthProtocol()
    sparse = np.full_like(depth, np.nan)
    sparse[::3, ::3] = depth[::3, ::3]
    assert TrueFrame.of(0, image_for(depth), depth, protocol).boundaries is not None
    assert TrueFrame.of(0, image_for(depth), sparse, protocol).boundaries is None
    frame = TrueFrame.of(0, image_for(depth), depth, protocol, has_contours=False)
    assert frame.boundaries is None


def test_what_the_protocol_leaves_out_has_no_contours():
    depth = square(2.0)
    protocol = DepthProtocol(depth_range=DepthRange(0.1, 5.0))
    assert TrueFrame.of(0, image_for(depth), depth, protocol).boundaries is None


def test_scorer_averages_over_the_images_with_contours():
    protocol = DepthProtocol()
    scorer = DepthScorer('model', protocol)
    for predicted, truth in ((square(2.0), square(2.0)), (np.ones((12, 16)), square(2.0)),
                             (np.ones((12, 16)), np.full((12, 16), 2.0))):
        scorer.add(TrueFrame.of(0, image_for(truth), truth, protocol), predicted)
    scores = scorer.scores()
    assert scores.images == 3
    assert scores.boundaries.images == 2
    assert scores.boundaries.f1 == pytest.approx(0.5)


def test_a_small_prediction_is_judged_at_the_size_of_the_truth():
    truth = square(2.0, (24, 32))
    protocol = DepthProtocol()
    scorer = DepthScorer('model', protocol)
    scorer.add(TrueFrame.of(0, image_for(truth), truth, protocol), truth[::2, ::2].copy())
    assert scorer.scores().boundaries.f1 < 0.9
