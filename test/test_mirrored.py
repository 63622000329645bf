"""Blending with the mirror image: weights, borders, and what the network is given."""

import numpy as np
import pytest

from depth_ros.backends.backend import ImmediateBackend
from depth_ros.backends.mirrored import MirroredBackend, blend_inverse_depth


class BrightnessBackend(ImmediateBackend):
    """depth = 1 + red channel; remembers what it was given."""

    description = 'brightness'
    input_names = ('image', 'intrinsics')
    output_names = ('depth',)

    def __init__(self, per_column=None):
        self.inputs = []
        self._per_column = per_column

    def warm_up(self):
        pass

    def close(self):
        pass

    def compute(self, inputs):
        self.inputs.append(inputs)
        depth = 1.0 + inputs['image'][..., 0].astype(np.float32)
        return {'depth': depth if self._per_column is None else depth * self._per_column}


def naive_blend(plain, mirrored, width):
    result = np.empty(width)
    for u in range(width):
        l = u / (width - 1)  # noqa: E741
        left = 1 - min(max(20 * (l - 0.05), 0), 1)
        right = 1 - min(max(20 * ((1 - l) - 0.05), 0), 1)
        result[u] = (right * plain[u] + left * mirrored[u]
                     + (1 - left - right) * (plain[u] + mirrored[u]) / 2)
    return result


@pytest.mark.parametrize('width', [2, 33, 640])
def test_blend_equals_the_formula(width):
    rng = np.random.default_rng(0)
    plain, mirrored = rng.uniform(0.1, 2.0, (2, width)).astype(np.float32)
    blend = blend_inverse_depth(plain, mirrored)
    np.testing.assert_allclose(blend, naive_blend(plain, mirrored, width), rtol=1e-5)
    assert blend.dtype == np.float32


def test_weights_sum_to_one_and_a_symmetric_answer_stays():
    values = np.random.default_rng(1).uniform(0.1, 2.0, (3, 50)).astype(np.float32)
    np.testing.assert_allclose(blend_inverse_depth(values, values), values, rtol=1e-6)


def make_inputs():
    image = np.random.default_rng(2).integers(0, 200, (1, 4, 10, 3)).astype(np.uint8)
    return {'image': image, 'intrinsics': np.array([[20.0, 21.0, 3.0, 2.0]], np.float32)}


def test_network_sees_the_mirror_world():
    backend, inputs = BrightnessBackend(), make_inputs()
    depth = MirroredBackend(backend).run(inputs)['depth']
    np.testing.assert_array_equal(backend.inputs[1]['image'], inputs['image'][:, :, ::-1])
    np.testing.assert_array_equal(backend.inputs[1]['intrinsics'], [[20.0, 21.0, 6.0, 2.0]])
    np.testing.assert_array_equal(inputs['intrinsics'], [[20.0, 21.0, 3.0, 2.0]])
    # A network that treats all columns alike gives the same either way.
    np.testing.assert_allclose(depth, 1.0 + inputs['image'][..., 0], rtol=1e-5)


def test_each_border_is_taken_from_the_picture_in_which_it_lies_right():
    column = np.linspace(1.0, 2.0, 10, dtype=np.float32)
    inputs = make_inputs()
    depth = MirroredBackend(BrightnessBackend(column)).run(inputs)['depth']
    true = 1.0 + inputs['image'][..., 0].astype(np.float32)
    np.testing.assert_allclose(depth[..., 0], 2.0 * true[..., 0], rtol=1e-5)
    np.testing.assert_allclose(depth[..., -1], 2.0 * true[..., -1], rtol=1e-5)
