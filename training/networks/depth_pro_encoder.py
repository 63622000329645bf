"""Depth Pro's encoder: one ViT sees overlapping windows at three scales, another the whole image.

Source: Bochkovskii et al., Depth Pro, ICLR 2025, section 3.1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_ros.errors import ConfigError
from training.networks.depth_pro_vit import (
    last_tokens_of,
    make_vit,
    tokens_of,
    tokens_to_maps,
)
from training.networks.depth_pro_windows import WindowGrid

# How often what two blocks within the ViT tell of the finest windows is doubled in size.
_LATENT_DOUBLINGS = (3, 2)


class DepthProEncoder(nn.Module):
    """Images in [-1, 1] -> five features, finest first.

    forward: [B, 3, S, S] -> [B, channels[i], N, N] with N = 32, 16, 8, 4 and 2 times the tokens to
    a window's side, where S is 64 times. The first two are what blocks within the ViT tell of the
    windows at full scale, the next two what it tells in the end of those at full and at half
    scale. The last is what both ViTs tell of the image at quarter scale.
    """

    def __init__(
        self,
        vit: str,
        vit_depth: int | None,
        grids: Sequence[WindowGrid],
        latent_blocks: tuple[int, int],
        latent_width: int,
        widths: tuple[int, int, int],
    ) -> None:
        """Make the layers.

        Args:
            vit, vit_depth: of a timm model, see make_vit.
            grids: windows at full, half and quarter scale; the last is one window.
            latent_blocks: the blocks of the ViT that give the first two features, ascending, the
                first block being 0.
            latent_width: channels of these two.
            widths: channels of the other three.

        Raises:
            ConfigError: a ViT that does not suit or lacks these blocks.
        """
        super().__init__()
        window_px = grids[0].window_px
        self.grids = tuple(grids)
        self.latent_blocks = latent_blocks
        self.channels = (latent_width, latent_width, *widths)
        self.patch_encoder = make_vit(vit, window_px, vit_depth)
        self.image_encoder = make_vit(vit, window_px, vit_depth)
        blocks = len(self.patch_encoder.blocks)
        if latent_blocks[1] >= blocks:
            raise ConfigError(
                f'latent_blocks is {latent_blocks}; {vit} has the blocks 0 to {blocks - 1}'
            )
        embedded = self.patch_encoder.embed_dim
        self.upsample_latent0 = _upsampling(embedded, latent_width, _LATENT_DOUBLINGS[0])
        self.upsample_latent1 = _upsampling(embedded, latent_width, _LATENT_DOUBLINGS[1])
        self.upsample0 = _upsampling(embedded, widths[0], 1)
        self.upsample1 = _upsampling(embedded, widths[1], 1)
        self.upsample2 = _upsampling(embedded, widths[2], 1)
        self.upsample_lowres = nn.ConvTranspose2d(embedded, widths[2], 2, stride=2)
        self.fuse_lowres = nn.Conv2d(2 * widths[2], widths[2], 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        windows = [grid.split(_scaled(image, grid)) for grid in self.grids]
        # All in one batch: the ViT's weights are read once.
        tokens, latents = tokens_of(
            self.patch_encoder, torch.cat(windows).flatten(0, 1), self.latent_blocks
        )
        full, half, quarter = (
            grid.merge(maps) for grid, maps in zip(self.grids, self._maps_of_windows(tokens))
        )
        latent0, latent1 = (
            self.grids[0].merge(self._maps_of_windows(latent)[0]) for latent in latents
        )
        return [
            self.upsample_latent0(latent0),
            self.upsample_latent1(latent1),
            self.upsample0(full),
            self.upsample1(half),
            self._fused(windows[-1][0], quarter),
        ]

    def coarsest(self, image: Tensor) -> Tensor:
        """The last feature alone: one window is seen, not those at full and at half scale."""
        window = _scaled(image, self.grids[-1])
        return self._fused(window, tokens_to_maps(last_tokens_of(self.patch_encoder, window)))

    def _fused(self, window: Tensor, quarter: Tensor) -> Tensor:
        """The image at quarter scale [B, 3, w, w], and what the first ViT tells of it."""
        whole = tokens_to_maps(last_tokens_of(self.image_encoder, window))
        coarsest = torch.cat([self.upsample2(quarter), self.upsample_lowres(whole)], dim=1)
        return self.fuse_lowres(coarsest)

    def _maps_of_windows(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Tokens of all windows -> maps [count, B, C, n, n] of the windows of each grid."""
        counts = [grid.count for grid in self.grids]
        maps = tokens_to_maps(tokens).unflatten(0, (sum(counts), -1))
        return maps.split(counts)


def _scaled(image: Tensor, grid: WindowGrid) -> Tensor:
    """The image at the size that the windows cover."""
    side = grid.scale * grid.window_px
    if image.shape[-1] == side:
        return image
    return functional.interpolate(image, (side, side), mode='bilinear', align_corners=False)


def _upsampling(in_channels: int, out_channels: int, doublings: int) -> nn.Sequential:
    """A 1x1 convolution, then deconvolutions that double the size, without bias or activation."""
    project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(
        project,
        *(
            nn.ConvTranspose2d(out_channels, out_channels, 2, stride=2, bias=False)
            for _ in range(doublings)
        ),
    )
