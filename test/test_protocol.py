"""Rules of evaluation: KITTI's crop, and the order of mask, scale, clamp and metrics."""

import numpy as np
import pytest

from depth_ros.evaluation.depth_scores import DepthScorer, TrueFrame, resized_depth
from depth_ros.evaluation.metrics import DepthRange
from depth_ros.evaluation.protocol import Crop, DepthProtocol, ProtocolKind

KITTI = DepthProtocol.of(ProtocolKind.KITTI_EIGEN)
PLAIN = DepthProtocol.of(ProtocolKind.PLAIN)
HEIGHT, WIDTH = 375, 1242


def kitti_frame(seed=0):
    """Sparse truth of 0.5 to 120 m, and a prediction of another unit that is wrong by a third."""
    rng = np.random.default_rng(seed)
    truth_m = rng.uniform(0.5, 120.0, (HEIGHT, WIDTH)).astype(np.float32)
    truth_m[rng.random(truth_m.shape) > 0.05] = np.nan
    predicted_m = np.nan_to_num(truth_m, nan=9.0) * rng.uniform(0.02, 0.06, truth_m.shape)
    return truth_m, predicted_m.astype(np.float32)


def spec_by_the_letter(truth_m, predicted_m):
    """AbsRel as the official evaluation states it, pixel by pixel."""
    pairs = []
    for v in range(153, 371):
        for u in range(44, 1197):
            if 1e-3 < truth_m[v, u] < 80.0:
                pairs.append((float(truth_m[v, u]), float(predicted_m[v, u])))
    truth, predicted = np.array(pairs).T
    ratio = np.median(truth) / np.median(predicted)
    scaled = np.minimum(np.maximum(ratio * predicted, 1e-3), 80.0)
    return ratio, np.mean(np.abs(truth - scaled) / truth)


def test_kitti_counts_the_rows_and_columns_of_the_crop():
    truth_m = np.full((HEIGHT, WIDTH), 10.0)
    rows, columns = np.nonzero(KITTI.counted(truth_m, truth_m))
    assert (rows.min(), rows.max()) == (153, 370)
    assert (columns.min(), columns.max()) == (44, 1196)
    assert rows.size == (371 - 153) * (1197 - 44)


@pytest.mark.parametrize('seed', range(3))
def test_kitti_is_the_published_order_of_steps(seed):
    truth_m, predicted_m = kitti_frame(seed)
    scorer = DepthScorer('model', KITTI)
    score = scorer.add(TrueFrame(0, truth_m), predicted_m)
    ratio, abs_rel = spec_by_the_letter(truth_m, predicted_m)
    assert score.ratio == pytest.approx(ratio, rel=1e-6)
    assert score.abs_rel == pytest.approx(abs_rel, rel=1e-5)
    assert scorer.scores().median_scaled.abs_rel == score.abs_rel


def test_what_is_masked_has_no_say_in_the_scale():
    truth_m, predicted_m = kitti_frame()
    counted = KITTI.counted(truth_m, predicted_m)
    elsewhere = np.where(counted, predicted_m, 1e3 * predicted_m)
    scores = [DepthScorer('', KITTI).add(TrueFrame(0, truth_m), p)
              for p in (predicted_m, elsewhere)]
    assert scores[0] == scores[1]


def test_clamping_comes_after_scaling():
    truth_m = np.array([[2.0, 2.0, 79.0]])
    predicted_m = np.array([[100.0, 100.0, 9000.0]])
    score = DepthScorer('', PLAIN).add(TrueFrame(0, truth_m), predicted_m)
    # Scaled by 1/50 these are 2, 2 and 180, and 180 becomes 80.
    assert score.ratio == pytest.approx(0.02)
    assert score.abs_rel == pytest.approx((80.0 - 79.0) / 79.0 / 3.0)
    # As they come all three become 80.
    assert score.unscaled_abs_rel == pytest.approx((39.0 + 39.0 + 1.0 / 79.0) / 3.0)


def test_prediction_is_resized_as_inverse_depth_before_anything_else():
    small = np.array([[1.0, 4.0]], np.float32)
    resized = resized_depth(small, 1, 4)
    np.testing.assert_allclose(1.0 / resized, [[1.0, 0.8125, 0.4375, 0.25]], rtol=1e-6)


def test_kinds_have_their_rules():
    assert (PLAIN.crop, KITTI.crop) == (Crop.NONE, Crop.GARG)
    assert KITTI.depth_range == DepthRange(1e-3, 80.0)
    near = DepthRange(1.0, 50.0)
    assert DepthProtocol.of(ProtocolKind.KITTI_EIGEN, near).depth_range == near
