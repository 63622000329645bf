"""How the depth estimation network of Fourier-domain depth is trained."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.config.require import require
from training.losses.depth_balanced import AnswerSpace, Balance
from training.networks.den import DenConfig


@dataclass(frozen=True)
class DenTraining:
    """The network and its loss; the rest of a run is in the sections that all share.

    Attributes:
        network: sizes and stage. Its image is square: data.width and data.height are its
            input_px. A run of the second stage begins with one of the first, by --init.
        balance: of the depth-balanced Euclidean loss; slope 1 and curvature 0 make it Euclidean.
        answers: what the network answers.
        min_depth_m, max_depth_m: range of depth in metres; farther truth counts as its end.
        first_depth_m: what a network with a new last layer answers at first.
    """

    network: DenConfig = field(default_factory=DenConfig)
    balance: Balance = field(default_factory=Balance)
    answers: AnswerSpace = AnswerSpace.DEPTH
    min_depth_m: float = 0.1
    max_depth_m: float = 10.0
    first_depth_m: float = 2.0

    def __post_init__(self) -> None:
        require(
            0 < self.min_depth_m < self.first_depth_m < self.max_depth_m < self.balance.top_m,
            f'den: min_depth_m {self.min_depth_m}, first_depth_m {self.first_depth_m} and '
            f'max_depth_m {self.max_depth_m} must rise, below {self.balance.top_m:g} m, where '
            'balanced depth would fall again',
        )
