"""What a family of networks that learns from true depth has of its own."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from depth_ros.cameras.intrinsics import Intrinsics
from training.data.batch import Batch
from training.export.graphs import Graph
from training.state_files import fill_strictly


@dataclass(frozen=True)
class RecipeLoss:
    """What a batch costs.

    Attributes:
        total: the loss, with gradient.
        parts: its terms by name, without; the same names for every batch.
    """

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class RecipeResult(RecipeLoss):
    """One batch.

    Attributes:
        depth_m: [B,H,W] of the image's size, without gradient.
    """

    depth_m: Tensor


@dataclass(frozen=True)
class Answers:
    """What the model file says of a graph's answers.

    Attributes:
        family: for people.
        width, height: of the depth map.
        min_depth_m, max_depth_m: its range.
        intrinsics: the camera that the network is made for; None: it is told the camera.
    """

    family: str
    width: int
    height: int
    min_depth_m: float
    max_depth_m: float
    intrinsics: Intrinsics | None


class Recipe(nn.Module, abc.ABC):
    """Holds no weights: networks are made by it, and handed to it.

    Attributes:
        part_names: of RecipeLoss.parts, in the order of the log.
        answers: what the model file says of the graph.
    """

    part_names: tuple[str, ...]
    answers: Answers

    @abc.abstractmethod
    def make_net(self) -> nn.Module:
        """A network with random weights."""

    def start(self, net: nn.Module) -> None:
        """Fill in what is pretrained, where no earlier run or model gives the weights."""

    @abc.abstractmethod
    def groups(self, net: nn.Module, lr: float) -> list[dict[str, Any]]:
        """Parameters that learn, in groups with learning rates of their own."""

    @abc.abstractmethod
    def forward(self, net: nn.Module, batch: Batch, image01: Tensor) -> RecipeResult:
        """The loss of a batch.

        Args:
            net: of make_net.
            batch: geometry and truth that belong to the images.
            image01: what the network sees, float32 [B,3,H,W] in [0, 1].
        """

    def training_loss(self, net: nn.Module, batch: Batch, image01: Tensor) -> RecipeLoss:
        """The loss that forward gives, for steps that ask for nothing else."""
        return self(net, batch, image01)

    @abc.abstractmethod
    def graph(self, net: nn.Module) -> Graph:
        """What becomes depth.onnx."""

    def set_training(self, net: nn.Module) -> None:
        """Keep in evaluation mode what does not learn; called after net.train()."""

    def fill(self, net: nn.Module, state: Mapping[str, Tensor], source: Any) -> None:
        """Begin with the weights of an earlier run or model.

        Raises:
            ModelError: they belong to another network; the message names `source`.
        """
        fill_strictly(net, state, source)
