"""Depth Pro's recipe: canonical inverse depth, then the field of view.

Source: Bochkovskii et al., Depth Pro: Sharp Monocular Metric Depth in Less Than a Second, ICLR
2025, arXiv 2410.02073, section 3 and appendix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from training.config import ArithmeticPrecision, BagTruth, TrainConfig
from training.config.depth_pro import DepthProPhase, DepthProTraining
from training.data.batch import Batch
from training.export.graphs import DepthProGraph, Graph
from training.losses.canonical import (
    STAGE_1,
    STAGE_2,
    CanonicalDepthLoss,
    Mix,
    TruthKind,
)
from training.losses.shared_mean import shared_mean
from training.networks.canonical import canonical_to_depth, depth_to_canonical, fov_of_focal
from training.networks.depth_pro import DepthPro
from training.networks.vit_weights import VitWeights, read_vit_weights, start_vit
from training.recipes.recipe import Answers, Recipe, RecipeLoss, RecipeResult

KINDS = {
    BagTruth.MEASURED: TruthKind.METRIC_REAL,
    BagTruth.RENDERED: TruthKind.METRIC_SYNTHETIC,
    BagTruth.MEASURED_RELATIVE: TruthKind.RELATIVE_REAL,
    BagTruth.RENDERED_RELATIVE: TruthKind.RELATIVE_SYNTHETIC,
}
"""What the losses call the kinds of truth that bags have."""
_VITS = ('encoder.patch_encoder.', 'encoder.image_encoder.', 'fov.encoder.0.')
_FOV = 'fov.'


class DepthProRecipe(Recipe):
    """Stage 1 or 2 of depth, or the field of view."""

    def __init__(self, config: TrainConfig, training: DepthProTraining) -> None:
        super().__init__()
        self._training = training
        side = training.network.image_px
        self._bf16 = config.run.precision is ArithmeticPrecision.BF16
        self._loss = CanonicalDepthLoss(mix_of(training.phase), training.derivative_weight)
        kinds = [KINDS[kind] for kind in BagTruth]
        self.register_buffer('kinds', torch.tensor(kinds), persistent=False)
        # Metres of any camera: the graph is told which.
        self.answers = Answers(
            'depth_pro', side, side, training.min_depth_m, training.max_depth_m, None
        )
        self.part_names = (
            ('fov_error_deg',) if self._learns_fov else tuple(t.name for t in self._loss.terms)
        )

    @property
    def _learns_fov(self) -> bool:
        return self._training.phase is DepthProPhase.FIELD_OF_VIEW

    def make_net(self) -> DepthPro:
        """Random weights; what a phase leaves as it is has no gradient."""
        net = DepthPro(self._training.network)
        last = [layer for layer in net.head if isinstance(layer, nn.Conv2d)][-1]
        assert last.bias is not None
        nn.init.constant_(last.bias, self._training.first_answer)
        for name, parameter in net.named_parameters():
            learns = name.startswith(_FOV) == self._learns_fov
            frozen = self._training.freeze_norms and _is_norm_of_vit(name)
            frozen |= self._training.encoder_lr == 0 and name.startswith(_VITS)
            parameter.requires_grad_(learns and not frozen)
        return net

    def start(self, net: nn.Module) -> None:
        """Let the ViTs begin with pretrained weights.

        Raises ConfigError and ModelError as read_vit_weights and start_vit do.
        """
        self._start_vits(net, _VITS)

    def _start_vits(self, net: nn.Module, prefixes: Sequence[str]) -> None:
        network, source = self._training.network, self._training.vit_weights
        if source is VitWeights.NONE:
            return
        published = read_vit_weights(source, network.vit)
        for prefix in prefixes:
            if network.fov_head or not prefix.startswith(_FOV):
                vit = cast(VisionTransformer, net.get_submodule(prefix.rstrip('.')))
                start_vit(vit, published, network.window_px)

    def groups(self, net: nn.Module, lr: float) -> list[dict[str, Any]]:
        """The ViTs, and everything else."""
        learning = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
        vits = [p for n, p in learning if n.startswith(_VITS)]
        others = [p for n, p in learning if not n.startswith(_VITS)]
        return [{'params': vits, 'lr': self._training.encoder_lr}, {'params': others, 'lr': lr}]

    def set_training(self, net: nn.Module) -> None:
        """While the field of view is learnt, the depth network is what it will be."""
        if self._learns_fov:
            for name in ('encoder', 'decoder', 'head'):
                net.get_submodule(name).eval()

    def forward(self, net: nn.Module, batch: Batch, image01: Tensor) -> RecipeResult:
        """See Recipe."""
        focal, width = batch.intrinsics[:, 0], image01.shape[-1]
        with self._autocast(image01.device):
            canonical, fov_deg = net(image01)
        depth_m = canonical_to_depth(canonical.detach()[:, 0], focal, width)
        if self._learns_fov:
            loss = _fov_loss(fov_deg, fov_of_focal(focal, width))
            return RecipeResult(loss.total, loss.parts, depth_m)
        known = torch.isfinite(batch.depth_m) & (batch.depth_m > 0)
        truth = depth_to_canonical(torch.where(known, batch.depth_m, 1.0), focal, width)
        kinds = self.get_buffer('kinds')[batch.truth_kind]
        result = self._loss(canonical, truth[:, None], known[:, None], kinds)
        return RecipeResult(result.total, result.parts, depth_m)

    def training_loss(self, net: nn.Module, batch: Batch, image01: Tensor) -> RecipeLoss:
        """The field of view is seen without decoding depth, and without most of the windows."""
        if not self._learns_fov:
            return super().training_loss(net, batch, image01)
        with self._autocast(image01.device):
            fov_deg = cast(DepthPro, net).field_of_view(image01)
        return _fov_loss(fov_deg, fov_of_focal(batch.intrinsics[:, 0], image01.shape[-1]))

    def _autocast(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, torch.bfloat16, enabled=self._bf16)

    def graph(self, net: nn.Module) -> Graph:
        """See Recipe."""
        return DepthProGraph(cast(DepthPro, net))

    def fill(self, net: nn.Module, state: Mapping[str, Tensor], source: Any) -> None:
        """A run without field-of-view head may begin one with it, and the other way round."""
        if self._training.network.fov_head and not any(n.startswith(_FOV) for n in state):
            self._start_vits(net, [prefix for prefix in _VITS if prefix.startswith(_FOV)])
        own = net.state_dict()
        taken = {name: value for name, value in state.items() if name in own or not
                 name.startswith(_FOV)}  # fmt: skip
        fov = {name: value for name, value in own.items() if name.startswith(_FOV)}
        super().fill(net, {**fov, **taken}, source)


def mix_of(phase: DepthProPhase) -> Mix:
    """What a phase adds up for an image of each kind; see DepthProTraining.truths."""
    return STAGE_2 if phase is DepthProPhase.SHARPEN else STAGE_1


def _fov_loss(fov_deg: Tensor, true_deg: Tensor) -> RecipeLoss:
    error = fov_deg - true_deg
    count = error.new_full((), len(error))
    part = shared_mean(error.detach().abs().sum(), count)
    return RecipeLoss(shared_mean(error.square().sum(), count), {'fov_error_deg': part})


def _is_norm_of_vit(name: str) -> bool:
    return name.startswith(_VITS) and '.norm' in f'.{name}'
