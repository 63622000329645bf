"""Losses of canonical inverse depth: the paper's properties, loops, masks, mixes of kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.losses.canonical import (
    STAGE_1,
    STAGE_2,
    CanonicalDepthLoss,
    CanonicalDepthResult,
    Mix,
    Pointwise,
    Term,
    TruthKind,
)
from training.losses.derivatives import Derivative, derivative_errors
from training.losses.image_mean import image_mean, trimmed_image_mean
from training.losses.scale_shift import shape_difference

NAN = float('nan')
SIZE = (27, 34)
EVERY_ERROR = (*Pointwise, *Derivative)
EVERY_TERM = [Term(error, of_shape) for of_shape in (False, True) for error in EVERY_ERROR]
OF_SHAPE = [term for term in EVERY_TERM if term.of_shape]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def maps(count: int = 3, size: tuple[int, int] = SIZE) -> tuple[torch.Tensor, ...]:
    """Prediction, truth and what is known of it, of each image another part."""
    shape = (count, 1, *size)
    least = torch.linspace(0.02, 0.3, count).reshape(count, 1, 1, 1)
    return 0.1 + noise(*shape), 0.1 + noise(*shape, seed=1), noise(*shape, seed=2) > least


def value(scalar: torch.Tensor) -> float:
    return float(scalar.detach())


def everywhere(x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x, dtype=torch.bool)


def synthetic(count: int) -> torch.Tensor:
    return torch.full((count,), int(TruthKind.METRIC_SYNTHETIC))


def loss_of(
    *terms: Term, predicted: torch.Tensor, truth: torch.Tensor, known: torch.Tensor | None = None
) -> CanonicalDepthResult:
    """The terms for images of one kind; everything is known without a mask."""
    known = everywhere(predicted) if known is None else known
    loss = CanonicalDepthLoss({TruthKind.METRIC_SYNTHETIC: terms})
    return loss(predicted, truth, known, synthetic(len(predicted)))


def naive_shape(values: np.ndarray) -> np.ndarray:
    """[H, W], NaN where unknown: lower median and mean deviation of the known."""
    inside = np.sort(values[~np.isnan(values)])
    median = inside[(len(inside) - 1) // 2]
    return (values - median) / np.abs(inside - median).mean()


def naive_error(term: Term, predicted: np.ndarray, truth: np.ndarray, known: np.ndarray) -> float:
    """Of one image [H, W]."""
    predicted, truth = np.where(known, predicted, NAN), np.where(known, truth, NAN)
    if term.of_shape:
        predicted, truth = naive_shape(predicted), naive_shape(truth)
    difference = predicted - truth
    if isinstance(term.error, Derivative):  # which has loops of its own to be compared with
        filled = torch.from_numpy(np.where(known, difference, 0))[None, None]
        mask = torch.from_numpy(known)[None, None]
        return float(derivative_errors(filled, mask, [term.error])[0])
    errors = sorted(abs(value) for value in difference.ravel() if not np.isnan(value))
    if term.error is Pointwise.TRIMMED_MAE:
        errors = errors[: len(errors) - round(0.2 * len(errors))]
    if term.error is Pointwise.MSE:
        errors = [error**2 for error in errors]
    return sum(errors) / len(errors)


class TestEachTerm:
    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_equals_loops_over_images(self, term: Term) -> None:
        predicted, truth, known = maps()
        found = loss_of(term, predicted=predicted, truth=truth, known=known)
        arrays = (x[:, 0].numpy() for x in (predicted, truth, known))
        naive = [naive_error(term, *image) for image in zip(*arrays)]
        assert min(naive) > 0
        assert value(found.total) == pytest.approx(np.mean(naive))
        assert found.parts.keys() == {term.name}
        assert float(found.parts[term.name]) == pytest.approx(np.mean(naive))

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_gradcheck(self, term: Term) -> None:
        predicted, truth, known = maps(2, (7, 9))

        def total(x: torch.Tensor) -> torch.Tensor:
            return loss_of(term, predicted=x, truth=truth, known=known).total

        assert torch.autograd.gradcheck(total, predicted.requires_grad_())

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_the_truth_costs_nothing(self, term: Term) -> None:
        _, truth, known = maps()
        assert float(loss_of(term, predicted=truth, truth=truth, known=known).total) == 0

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_what_is_under_the_mask_changes_nothing(self, term: Term) -> None:
        """Neither prediction nor truth, be it NaN, infinite or 0; and no gradient gets there."""
        predicted, truth, known = maps()
        wanted = loss_of(term, predicted=predicted, truth=truth, known=known).total
        hidden = torch.where(known, predicted, 50 * noise(*predicted.shape, seed=5))
        hidden.requires_grad_()
        gradients = []
        for filler in (NAN, float('inf'), -float('inf'), 0.0, 1e30):
            masked = truth.masked_fill(~known, filler)
            found = loss_of(term, predicted=hidden, truth=masked, known=known).total
            assert value(found) == value(wanted)
            gradients.append(torch.autograd.grad(found, hidden)[0])
        assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
        assert torch.isfinite(gradients[0]).all()
        assert float(gradients[0][~known].abs().max()) == 0
        assert float(gradients[0][known].abs().max()) > 0

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_nan_truth_is_unknown_whatever_the_mask_says(self, term: Term) -> None:
        predicted, truth, known = maps()
        predicted.requires_grad_()
        wanted = loss_of(term, predicted=predicted, truth=truth, known=known).total
        holed = truth.masked_fill(~known, NAN)
        found = loss_of(term, predicted=predicted, truth=holed).total
        assert value(found) == value(wanted)
        assert torch.isfinite(torch.autograd.grad(found, predicted)[0]).all()

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_nothing_known_is_zero_with_gradient_zero(self, term: Term) -> None:
        predicted, truth, _ = maps()
        predicted.requires_grad_()
        nowhere = torch.zeros_like(truth, dtype=torch.bool)
        found = loss_of(term, predicted=predicted, truth=truth * NAN, known=nowhere).total
        assert value(found) == 0
        assert float(torch.autograd.grad(found, predicted)[0].abs().max()) == 0

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_images_without_truth_are_not_averaged_in(self, term: Term) -> None:
        predicted, truth, known = maps()
        wanted = loss_of(term, predicted=predicted[:2], truth=truth[:2], known=known[:2]).total
        known[2] = False
        found = loss_of(term, predicted=predicted, truth=truth, known=known).total
        assert value(found) == pytest.approx(value(wanted))

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    @pytest.mark.parametrize('pixels', [1, 2, 3])
    def test_hardly_anything_known_stays_finite(self, term: Term, pixels: int) -> None:
        predicted, truth, _ = maps(1)
        predicted.requires_grad_()
        known = (torch.arange(SIZE[0] * SIZE[1]) < pixels).reshape(1, 1, *SIZE)
        found = loss_of(term, predicted=predicted, truth=truth, known=known).total
        assert torch.isfinite(found)
        assert torch.isfinite(torch.autograd.grad(found, predicted)[0]).all()

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16, torch.float32])
    def test_coarse_types_are_computed_in_float32(self, term: Term, dtype: torch.dtype) -> None:
        predicted, truth, known = maps()
        predicted = predicted.to(dtype).requires_grad_()
        found = loss_of(term, predicted=predicted, truth=truth.float(), known=known).total
        exact = predicted.detach().double().requires_grad_()
        wanted = loss_of(term, predicted=exact, truth=truth.float().double(), known=known).total
        assert found.dtype == torch.float32
        assert value(found) == pytest.approx(value(wanted), rel=1e-5)
        (gradient,) = torch.autograd.grad(found, predicted)
        assert gradient.dtype == dtype
        wanted_gradient = torch.autograd.grad(wanted, exact)[0]
        tolerance = 0.01 * float(wanted_gradient.abs().max())
        torch.testing.assert_close(gradient.double(), wanted_gradient, rtol=0.01, atol=tolerance)

    @pytest.mark.parametrize('mix', [STAGE_1, STAGE_2], ids=['stage 1', 'stage 2'])
    def test_autocast_makes_nothing_coarser(self, mix: Mix) -> None:
        predicted, truth, known = maps()
        predicted, truth, kinds = predicted.float(), truth.float(), torch.tensor([0, 2, 3])
        wanted = CanonicalDepthLoss(mix)(predicted, truth, known, kinds).total
        with torch.autocast('cpu', torch.bfloat16):
            found = CanonicalDepthLoss(mix)(predicted, truth, known, kinds).total
        assert found.dtype == torch.float32
        assert value(found) == value(wanted)

    @pytest.mark.parametrize('term', EVERY_TERM, ids=lambda term: term.name)
    def test_no_value_is_read_back_from_the_device(self, term: Term) -> None:
        """Tensors of the meta device have shapes alone: whatever asks for a value fails."""
        shape = (2, 1, 60, 50)
        predicted = torch.empty(shape, device='meta', requires_grad=True)
        known = torch.empty(shape, device='meta', dtype=torch.bool)
        kinds = torch.empty(2, device='meta', dtype=torch.int64)
        loss = CanonicalDepthLoss({TruthKind.METRIC_SYNTHETIC: (term,)}).to('meta')
        found = loss(predicted, torch.empty(shape, device='meta'), known, kinds).total
        assert found.shape == ()
        assert torch.autograd.grad(found, predicted)[0].shape == shape


class TestTrimmedMean:
    def test_gross_outliers_leave_the_error_of_the_rest(self) -> None:
        predicted, truth, known = maps(2, (20, 25))
        known[:] = True
        known[:, :, :4] = False  # 16 * 25 known, a fifth is 80
        outliers = torch.zeros_like(known)
        outliers.view(2, -1)[:, 100 : 100 + 80] = True
        inliers = known & ~outliers
        wrong = torch.where(outliers, truth + 1000, truth)
        trimmed, plain = Term(Pointwise.TRIMMED_MAE), Term(Pointwise.MAE)
        found = loss_of(trimmed, predicted=predicted, truth=wrong, known=known).total
        wanted = loss_of(plain, predicted=predicted, truth=truth, known=inliers).total
        assert value(found) == pytest.approx(value(wanted))

    @pytest.mark.parametrize('known', range(8))
    def test_leaves_out_the_nearest_whole_number(self, known: int) -> None:
        """2^0 + 2^1 + .. tells by its bits which were kept."""
        errors = 2.0 ** torch.arange(9.0).flip(0).reshape(1, 1, 3, 3)
        mask = torch.arange(9).flip(0).reshape(1, 1, 3, 3) < known
        kept = known - round(known * 0.2)
        mean = (2**kept - 1) / max(kept, 1)
        assert float(trimmed_image_mean(errors, mask, 0.2)) == pytest.approx(mean)

    def test_each_image_by_itself(self) -> None:
        errors, known = noise(4, 1, 9, 11), noise(4, 1, 9, 11, seed=1) > 0.4
        apart = [trimmed_image_mean(errors[i : i + 1], known[i : i + 1], 0.2) for i in range(4)]
        torch.testing.assert_close(trimmed_image_mean(errors, known, 0.2), torch.cat(apart))

    def test_without_trim_it_is_the_mean(self) -> None:
        errors, known = noise(4, 1, 9, 11), noise(4, 1, 9, 11, seed=1) > 0.4
        torch.testing.assert_close(
            trimmed_image_mean(errors, known, 0.0), image_mean(errors, known)
        )


class TestShape:
    @pytest.mark.parametrize('term', OF_SHAPE, ids=lambda term: term.name)
    @pytest.mark.parametrize(('scale', 'shift'), [(3.0, 0.0), (1.0, -2.0), (0.01, 7.0)])
    def test_invariant_to_scale_and_shift_of_either(
        self, term: Term, scale: float, shift: float
    ) -> None:
        predicted, truth, known = maps()
        scales = scale * torch.tensor([1.0, 0.5, 2.0]).double().reshape(3, 1, 1, 1)
        wanted = float(loss_of(term, predicted=predicted, truth=truth, known=known).total)
        for one, other in (
            (scales * predicted + shift, truth),
            (predicted, scales * truth + shift),
            (scales * predicted + shift, -shift + truth / scales),
        ):
            found = loss_of(term, predicted=one, truth=other, known=known).total
            assert value(found) == pytest.approx(wanted)

    @pytest.mark.parametrize('term', OF_SHAPE, ids=lambda term: term.name)
    def test_no_gradient_along_scale_and_shift(self, term: Term) -> None:
        predicted, truth, known = maps(1)
        predicted.requires_grad_()
        total = loss_of(term, predicted=predicted, truth=truth, known=known).total
        (gradient,) = torch.autograd.grad(total, predicted)
        assert float(gradient.sum()) == pytest.approx(0, abs=1e-12)
        assert value((gradient * predicted).sum()) == pytest.approx(0, abs=1e-12)

    def test_turned_upside_down_is_another_shape(self) -> None:
        _, truth, known = maps()
        term = Term(Pointwise.MAE, of_shape=True)
        found = loss_of(term, predicted=-truth, truth=truth, known=known).total
        assert value(found) == pytest.approx(2, abs=0.05)

    def test_known_values(self) -> None:
        """Median 3 and mean deviation 2 against median 0 and mean deviation 1."""
        predicted = torch.tensor([1.0, 2.0, 3.0, 4.0, 9.0, 77.0]).reshape(1, 1, 2, 3)
        truth = torch.tensor([-1.0, 0.0, 0.0, 1.0, 3.0, NAN]).reshape(1, 1, 2, 3)
        difference, known = shape_difference(predicted, truth.nan_to_num(), truth.isfinite())
        assert difference.flatten().tolist() == [-1 + 1, -0.5 - 0, 0 - 0, 0.5 - 1, 3 - 3, 0]
        assert known.flatten().tolist() == [True] * 5 + [False]

    @pytest.mark.parametrize('term', OF_SHAPE, ids=lambda term: term.name)
    @pytest.mark.parametrize('level', [0.0, 0.3, 1e-20])
    def test_a_constant_has_no_shape(self, term: Term, level: float) -> None:
        """As truth it costs nothing; as prediction it is finite; neither has a gradient."""
        varied, other, known = maps()
        constant = torch.full_like(varied, level)
        for predicted, truth, free in ((varied, constant, True), (constant, other, False)):
            predicted = predicted.clone().requires_grad_()
            total = loss_of(term, predicted=predicted, truth=truth, known=known).total
            assert torch.isfinite(total)
            assert (value(total) == 0) is free
            assert float(torch.autograd.grad(total, predicted)[0].abs().max()) == 0


class TestMixes:
    def test_are_those_of_the_paper(self) -> None:
        names = {
            stage: {kind.name: [term.name for term in terms] for kind, terms in mix.items()}
            for stage, mix in ((1, STAGE_1), (2, STAGE_2))
        }
        assert names == {
            1: {
                'METRIC_SYNTHETIC': ['mae', 'ssi_mage'],
                'METRIC_REAL': ['trimmed_mae'],
                'RELATIVE_SYNTHETIC': ['ssi_mae', 'ssi_mage'],
                'RELATIVE_REAL': ['ssi_trimmed_mae'],
            },
            2: {'METRIC_SYNTHETIC': ['mae', 'mse', 'mage', 'male', 'msge']},
        }

    @pytest.mark.parametrize(
        'kinds', [(0, 1, 2, 3), (3, 3, 0, 1), (2, 2, 2, 2)], ids=lambda kinds: str(kinds)
    )
    def test_a_mixed_batch_is_the_mean_of_its_images(self, kinds: tuple[int, ...]) -> None:
        predicted, truth, known = maps(4)
        predicted.requires_grad_()
        result = CanonicalDepthLoss(STAGE_1)(predicted, truth, known, torch.tensor(kinds))
        apart = []
        parts = dict.fromkeys(result.parts, 0.0)
        for i, kind in enumerate(kinds):
            one = slice(i, i + 1)
            terms = STAGE_1[TruthKind(kind)]
            found = loss_of(*terms, predicted=predicted[one], truth=truth[one], known=known[one])
            apart.append(found.total)
            for name, part in found.parts.items():
                parts[name] += float(part) / 4
        wanted = torch.stack(apart).mean()
        assert value(result.total) == pytest.approx(value(wanted))
        torch.testing.assert_close(
            torch.autograd.grad(result.total, predicted)[0],
            torch.autograd.grad(wanted, predicted)[0],
        )
        assert {name: float(part) for name, part in result.parts.items()} == pytest.approx(parts)

    @pytest.mark.parametrize('mix', [STAGE_1, STAGE_2], ids=['stage 1', 'stage 2'])
    def test_parts_add_up_and_carry_no_gradient(self, mix: Mix) -> None:
        predicted, truth, known = maps()
        kinds = torch.tensor([0, 2, 0])
        result = CanonicalDepthLoss(mix)(predicted.requires_grad_(), truth, known, kinds)
        assert result.total.requires_grad
        assert not any(part.requires_grad for part in result.parts.values())
        assert float(sum(result.parts.values())) == pytest.approx(value(result.total))

    def test_kinds_that_are_not_in_the_mix_do_not_count(self) -> None:
        predicted, truth, known = maps()
        loss = CanonicalDepthLoss(STAGE_2)
        wanted = loss(predicted[1:2], truth[1:2], known[1:2], torch.tensor([0])).total
        found = loss(predicted, truth, known, torch.tensor([1, 0, 3])).total
        assert value(found) == pytest.approx(value(wanted))
        assert float(loss(predicted, truth, known, torch.tensor([1, 2, 3])).total) == 0

    def test_derivatives_alone_are_weighed(self) -> None:
        predicted, truth, known = maps()
        kinds = torch.tensor([0, 0, 0])
        plain = CanonicalDepthLoss(STAGE_2)(predicted, truth, known, kinds)
        weighed = CanonicalDepthLoss(STAGE_2, 10.0)(predicted, truth, known, kinds)
        for name, part in plain.parts.items():
            factor = 1 if name in ('mae', 'mse') else 10
            assert float(weighed.parts[name]) == pytest.approx(factor * float(part)), name
        assert value(weighed.total) == pytest.approx(float(sum(weighed.parts.values())))

    def test_images_count_alike_however_much_is_known(self) -> None:
        predicted = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1).expand(2, 1, 8, 8)
        known = torch.ones(2, 1, 8, 8, dtype=torch.bool)
        known[1, :, 1:] = False
        term = Term(Pointwise.MAE)
        found = loss_of(term, predicted=predicted, truth=torch.zeros(2, 1, 8, 8), known=known)
        assert value(found.total) == pytest.approx(2)

    def test_holds_nothing_that_a_checkpoint_must_keep(self) -> None:
        loss = CanonicalDepthLoss(STAGE_1)
        assert not loss.state_dict()
        assert not list(loss.parameters())

    def test_inputs_are_left_alone(self) -> None:
        tensors = maps()
        before = [x.clone() for x in tensors]
        CanonicalDepthLoss(STAGE_1)(*tensors, torch.tensor([0, 1, 2]))
        assert all(torch.equal(x, y) for x, y in zip(tensors, before))

    def test_descending_it_finds_the_truth(self) -> None:
        """Stage 2 on a scene of steps: a tenth of the error is left after a few steps."""
        _, truth, known = maps(1)
        truth = (truth > 0.6).double() + 0.2
        predicted = torch.full_like(truth, 0.5).requires_grad_()
        loss, optimiser = CanonicalDepthLoss(STAGE_2), torch.optim.Adam([predicted], lr=0.02)
        totals = []
        for _ in range(60):
            optimiser.zero_grad()
            total = loss(predicted, truth, known, synthetic(1)).total
            total.backward()
            optimiser.step()
            totals.append(float(total.detach()))
        assert totals[-1] < 0.1 * totals[0]
