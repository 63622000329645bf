"""Losses of canonical inverse depth, mixed by what is known of an image's truth.

Bochkovskii et al., Depth Pro: Sharp Monocular Metric Depth in Less Than a Second, arXiv
2410.02073, section 3.2 and appendix. Canonical inverse depth is C = f_px / (W D): focal length
over image width, over depth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

import torch
from torch import Tensor, nn

from training.losses.derivatives import Derivative, derivative_errors
from training.losses.image_mean import image_mean, trimmed_image_mean
from training.losses.scale_shift import shape_difference
from training.losses.shared_mean import shared_mean

TRIM = 0.2
"""Share of an image's pixels that trimmed errors leave out: real truth has gross outliers."""


class Pointwise(Enum):
    """Errors of single pixels: absolute, the same without the worst fifth, squared."""

    MAE = 'mae'
    TRIMMED_MAE = 'trimmed_mae'
    MSE = 'mse'


@dataclass(frozen=True)
class Term:
    """One loss: an error, of C itself or of its shape alone (training.losses.scale_shift)."""

    error: Pointwise | Derivative
    of_shape: bool = False

    @property
    def name(self) -> str:
        """For logs; 'ssi' is the paper's scale-and-shift-invariant."""
        return f'ssi_{self.error.value}' if self.of_shape else self.error.value


class TruthKind(IntEnum):
    """What an image's truth is: in metres or up to scale and shift, rendered or measured."""

    METRIC_SYNTHETIC = 0
    METRIC_REAL = 1
    RELATIVE_SYNTHETIC = 2
    RELATIVE_REAL = 3


Mix = Mapping[TruthKind, tuple[Term, ...]]
"""What is added up for an image of a kind; nothing for kinds not named."""

STAGE_1: Mix = {
    TruthKind.METRIC_SYNTHETIC: (Term(Pointwise.MAE), Term(Derivative.MAGE, of_shape=True)),
    TruthKind.METRIC_REAL: (Term(Pointwise.TRIMMED_MAE),),
    TruthKind.RELATIVE_SYNTHETIC: (
        Term(Pointwise.MAE, of_shape=True),
        Term(Derivative.MAGE, of_shape=True),
    ),
    TruthKind.RELATIVE_REAL: (Term(Pointwise.TRIMMED_MAE, of_shape=True),),
}
"""To generalise, from everything."""

STAGE_2: Mix = {
    TruthKind.METRIC_SYNTHETIC: (
        Term(Pointwise.MAE),
        Term(Pointwise.MSE),
        Term(Derivative.MAGE),
        Term(Derivative.MALE),
        Term(Derivative.MSGE),
    ),
}
"""To sharpen, from truth that is exact at edges."""


@dataclass(frozen=True)
class CanonicalDepthResult:
    """Scalars: total with gradient; its parts by name, as they add up to it, without."""

    total: Tensor
    parts: dict[str, Tensor]


class CanonicalDepthLoss(nn.Module):
    """Mean over images of the sum of the terms that a mix has for their kind.

    derivative_weight: of the errors of derivatives, against 1 for those of single pixels. The
    paper states no weights; with 1 all terms are simply added.

    forward: predicted [B, 1, H, W] of any float type; truth, same shape, may hold anything, NaN
    included, where bool `known`, same shape, is false; kinds int64 [B], values of TruthKind
    -> CanonicalDepthResult, in float32 at least. Images count alike, however much of them is
    known; those in which nothing is, or whose kind the mix does not name, do not count. Without
    any that does, everything is 0 with gradient 0. A constant truth counts, and its shape costs
    0. Truth that is NaN or infinite is not known even where `known` says so.
    """

    def __init__(self, mix: Mix, derivative_weight: float = 1.0) -> None:
        super().__init__()
        # Each term once, in the order of the mix, though several kinds share it.
        self.terms = tuple(dict.fromkeys(term for terms in mix.values() for term in terms))
        applies = [[term in mix.get(kind, ()) for kind in TruthKind] for term in self.terms]
        self._applies: Tensor
        self.register_buffer('_applies', torch.tensor(applies), persistent=False)
        weights = [
            derivative_weight if isinstance(term.error, Derivative) else 1.0
            for term in self.terms
        ]
        self._weights: Tensor
        self.register_buffer('_weights', torch.tensor(weights), persistent=False)

    def forward(
        self, predicted: Tensor, truth: Tensor, known: Tensor, kinds: Tensor
    ) -> CanonicalDepthResult:
        # Half precision is too coarse for differences; float64 stays, for tests of gradients.
        predicted = predicted.to(torch.promote_types(predicted.dtype, torch.float32))
        known = known & torch.isfinite(truth)
        # The unknown are replaced before any difference: NaN times zero would still be NaN.
        truth = truth.masked_fill(~known, 0).to(predicted)
        errors = torch.stack(self._image_errors(predicted, truth, known))
        applies = self._applies[:, kinds] & known.flatten(1).any(1)
        totals = errors.masked_fill(~applies, 0).sum(1) * self._weights
        # One divisor for all terms, so that each image's sum has the same weight.
        parts = shared_mean(totals, applies.any(0).sum().expand_as(totals))
        named = zip(self.terms, parts.detach())
        return CanonicalDepthResult(parts.sum(), {term.name: part for term, part in named})

    def _image_errors(self, predicted: Tensor, truth: Tensor, known: Tensor) -> list[Tensor]:
        """[B] for each term, of every image whatever its kind: choosing needs no waiting."""
        by_term: dict[Term, Tensor] = {}
        for of_shape in (False, True):
            terms = [term for term in self.terms if term.of_shape is of_shape]
            if not terms:
                continue
            if of_shape:
                difference, comparable = shape_difference(predicted, truth, known)
            else:
                difference, comparable = (predicted - truth).masked_fill(~known, 0), known
            by_term.update(zip(terms, _errors(difference, comparable, terms)))
        return [by_term[term] for term in self.terms]


def _errors(difference: Tensor, known: Tensor, terms: list[Term]) -> list[Tensor]:
    derivatives = [term.error for term in terms if isinstance(term.error, Derivative)]
    of_derivative: dict[Derivative, Tensor] = {}
    if derivatives:  # all together: they share the levels
        of_derivative.update(zip(derivatives, derivative_errors(difference, known, derivatives)))
    result = []
    for term in terms:
        if isinstance(term.error, Derivative):
            result.append(of_derivative[term.error])
        elif term.error is Pointwise.MSE:
            result.append(image_mean(difference.square(), known))
        elif term.error is Pointwise.TRIMMED_MAE:
            result.append(trimmed_image_mean(difference.abs(), known, TRIM))
        else:
            result.append(image_mean(difference.abs(), known))
    return result
