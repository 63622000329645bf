"""The depth-balanced Euclidean loss against the paper's equations."""

from __future__ import annotations

import math

import pytest
import torch

from depth_ros.errors import ConfigError
from training.losses.depth_balanced import AnswerSpace, Balance, DepthBalancedLoss

PAPER = Balance()
EUCLIDEAN = Balance(1.0, 0.0)


def test_balanced_depth_has_the_paper_s_values_and_an_inverse() -> None:
    assert PAPER.top_m == pytest.approx(15.0)
    depth_m = torch.tensor([0.0, 10.0], dtype=torch.double)
    torch.testing.assert_close(PAPER.of_depth(depth_m), depth_m)
    assert PAPER.to_depth(torch.tensor(11.25)).item() == pytest.approx(15.0, rel=1e-3)
    depth_m = torch.linspace(0, 13.9, 140, dtype=torch.double)
    torch.testing.assert_close(PAPER.to_depth(PAPER.of_depth(depth_m)), depth_m, rtol=1e-4,
                               atol=1e-9)  # fmt: skip


def test_beyond_its_bend_balanced_depth_goes_on_as_a_line() -> None:
    near, far = torch.tensor([13.9, 14.0, 14.1, 15.0, 16.0], dtype=torch.double).split([3, 2])
    values = PAPER.of_depth(near)
    assert (values[2] - values[1]).item() == pytest.approx((values[1] - values[0]).item(), rel=0.1)
    slope = PAPER.of_depth(far).diff().item()
    assert slope == pytest.approx(1.5 - 0.1 * 14, rel=1e-9)


def test_the_loss_is_half_the_mean_of_squares_over_what_is_known() -> None:
    loss = DepthBalancedLoss(EUCLIDEAN)
    answer = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    truth_m = torch.tensor([[1.5, math.nan, 5.0, 0.0]])
    assert loss(answer, truth_m).item() == pytest.approx(0.5 * (0.25 + 4.0) / 2)
    assert loss(answer, answer).item() == 0.0
    nothing = answer.clone().requires_grad_()
    loss(nothing, torch.full_like(answer, math.nan)).backward()
    assert nothing.grad is not None
    assert not nothing.grad.any()


@pytest.mark.parametrize('pixels', [1, 7])
def test_its_gradient_is_the_paper_s(pixels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    answer = 1 + 9 * torch.rand(pixels, generator=generator, dtype=torch.double)
    truth_m = 1 + 9 * torch.rand(pixels, generator=generator, dtype=torch.double)
    answer.requires_grad_()
    DepthBalancedLoss()(answer, truth_m).backward()
    error = PAPER.of_depth(answer) - PAPER.of_depth(truth_m)
    expected = error * (1.5 - 0.1 * answer) / pixels
    torch.testing.assert_close(answer.grad, expected.detach())


def test_the_same_error_counts_less_far_away() -> None:
    gradients = []
    for depth_m in (2.0, 8.0):
        answer = torch.tensor([depth_m + 0.5], requires_grad=True)
        DepthBalancedLoss()(answer, torch.tensor([depth_m])).backward()
        gradients.append(answer.grad.item())
    assert 0 < gradients[1] < 0.6 * gradients[0]


def test_a_network_may_answer_balanced_depth_itself() -> None:
    loss = DepthBalancedLoss(space=AnswerSpace.BALANCED)
    truth_m = torch.tensor([1.0, 4.0, 9.0])
    answer = PAPER.of_depth(truth_m)
    assert loss(answer, truth_m).item() == 0.0
    torch.testing.assert_close(loss.depth_m(answer), truth_m, rtol=1e-4, atol=0)
    # What is beyond the curve's ends is brought to them.
    assert loss.depth_m(torch.tensor([-1.0, 20.0])).tolist() == pytest.approx([0.0, 15.0])


def test_truth_beyond_the_range_counts_as_its_end() -> None:
    loss = DepthBalancedLoss(max_depth_m=10.0)
    assert loss(torch.tensor([10.0]), torch.tensor([60.0])).item() == 0.0


def test_impossible_balances_are_refused() -> None:
    with pytest.raises(ConfigError, match='max_depth_m is 15'):
        DepthBalancedLoss(max_depth_m=15.0)
    with pytest.raises(ConfigError, match='slope -1'):
        Balance(-1.0, 0.0)
