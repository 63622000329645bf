"""Candidates of depth from corner crops, against a plain reading of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from depth_ros.errors import ConfigError
from training.fusion.corner_crops import PAPER_RATIOS, Candidates, CornerCrops, CropSizes
from training.fusion.resampling import resampling_matrix

SIZES = CropSizes(image=(60, 80), network=(32, 40), answer=(25, 32), grid=(60, 80))


def boxes(ratio: float) -> list[tuple[int, int, int, int]]:
    """(y, x, height, width) of the crops, row by row."""
    rows, columns = SIZES.image
    if ratio == 1.0:
        return [(0, 0, rows, columns)]
    height, width = round(ratio * rows), round(ratio * columns)
    return [(y, x, height, width) for y in (0, rows - height) for x in (0, columns - width)]


def naive_candidate(ratio: float, answers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Section 4 of the paper word by word: accumulator and counter at the image's size."""
    total, counter = torch.zeros(SIZES.image), torch.zeros(SIZES.image)
    for (y, x, height, width), answer in zip(boxes(ratio), answers):
        resized = interpolate(answer[None, None], (height, width), mode='bilinear')[0, 0]
        total[y : y + height, x : x + width] += resized
        counter[y : y + height, x : x + width] += 1
    return total / counter / ratio, counter


@pytest.mark.parametrize(('out', 'size'), [(5, 13), (13, 5), (8, 16), (7, 7)])
def test_resampling_is_torch_s_bilinear_without_aliasing(out: int, size: int) -> None:
    samples = torch.rand(1, 1, 1, size, dtype=torch.double)
    expected = interpolate(samples, (1, out), mode='bilinear', antialias=True).flatten()
    found = resampling_matrix(out, size) @ samples.flatten().numpy()
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-12)


@pytest.mark.parametrize('ratio', PAPER_RATIOS)
def test_crops_are_cut_at_the_corners_and_resized(ratio: float) -> None:
    torch.manual_seed(0)
    images = torch.rand(2, 3, *SIZES.image)
    found = CornerCrops(ratio, SIZES).crops(images).flatten(0, 1)
    expected = torch.cat([
        interpolate(image[None, :, y : y + height, x : x + width], SIZES.network,
                    mode='bilinear', antialias=True)
        for image in images
        for y, x, height, width in boxes(ratio)
    ])  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('ratio', PAPER_RATIOS)
def test_answers_are_put_back_and_averaged_where_they_overlap(ratio: float) -> None:
    torch.manual_seed(0)
    answers = torch.rand(2, len(boxes(ratio)), *SIZES.answer)
    found = CornerCrops(ratio, SIZES).candidate(answers)
    for image in range(2):
        expected, counter = naive_candidate(ratio, answers[image])
        assert counter.min() >= 1
        if ratio < 1:
            assert counter[0, 0] == 1
            assert counter[30, 40] == 4
        torch.testing.assert_close(found[image], expected, rtol=1e-5, atol=1e-5)


def test_a_network_that_answers_a_constant_gives_it_divided_by_the_ratio() -> None:
    candidates = Candidates(PAPER_RATIOS, True, SIZES)
    crops = candidates.crops(torch.rand(2, 3, *SIZES.image))
    assert crops.shape == (2 * 66, 3, *SIZES.network)
    assert (candidates.crop_count, len(candidates)) == (66, 18)
    found = candidates.assembled(torch.full((len(crops), *SIZES.answer), 3.0))
    expected = torch.tensor([3.0 / ratio for ratio in PAPER_RATIOS for _ in range(2)])
    torch.testing.assert_close(found, expected[None, :, None, None].expand_as(found))


def test_what_every_crop_tells_rightly_is_the_depth_of_the_image() -> None:
    rows, columns = torch.meshgrid(*[torch.arange(size) / size for size in SIZES.image],
                                   indexing='ij')  # fmt: skip
    depth_m = 2.0 + rows + 0.5 * columns
    candidates = Candidates(PAPER_RATIOS, True, SIZES)
    answers = []
    for mirrored in (False, True):
        for ratio in PAPER_RATIOS:
            for y, x, height, width in boxes(ratio):
                crop = ratio * depth_m[None, None, y : y + height, x : x + width]
                answer = interpolate(crop, SIZES.answer, mode='bilinear', antialias=True)[0, 0]
                answers.append(answer.flip(-1) if mirrored else answer)
    found = candidates.assembled(torch.stack(answers))[0]
    assert (found - depth_m).abs().max() < 0.03
    # Crops of a mirrored image lie mirrored: a network that does not care gives the same twice.
    torch.testing.assert_close(found[::2], found[1::2])


def test_mirrored_crops_are_those_of_the_mirrored_image() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, *SIZES.image)
    candidates = Candidates((1.0, 0.7), True, SIZES)
    mirrored = candidates.crops(images).chunk(2)[1]
    of_mirrored = Candidates((1.0, 0.7), False, SIZES).crops(images.flip(-1))
    torch.testing.assert_close(mirrored[0], of_mirrored[0])
    # The left crop of the mirrored image shows the right one of the image.
    torch.testing.assert_close(mirrored[1:], of_mirrored[1:][[1, 0, 3, 2]])


@pytest.mark.parametrize('ratios', [(), (0.9,), (1.0, 1.0), (1.0, 0.6, 0.8), (1.0, 0.4)])
def test_impossible_ratios_are_refused(ratios: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match='need 1 first, then ever smaller'):
        Candidates(ratios, True, SIZES)
