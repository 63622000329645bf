"""Depth Pro's field-of-view head: a ViT of its own beside a feature of the depth network.

Source: Bochkovskii et al., Depth Pro, ICLR 2025, section 3.3.
"""

from typing import cast

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from training.networks.depth_pro_vit import last_tokens_of, make_vit, tokens_to_maps
from training.networks.single_precision import in_single_precision

FOV_SHRINKS = 8
"""The decoder's width is so many times that of this head's last hidden layer."""


class FovHead(nn.Module):
    """An image and what the depth network knows of it -> its horizontal field of view.

    forward: image [B, 3, S, S] in [-1, 1] and feature [B, width, 2 n, 2 n] -> degrees [B], of no
    bounds. n = window_px / 16. The feature is detached: the head is trained after the depth
    network and leaves it as it is.
    """

    def __init__(self, vit: str, vit_depth: int | None, window_px: int, width: int) -> None:
        """Make the layers.

        Args:
            vit, vit_depth: of a timm model, see make_vit.
            window_px: side of the ViT's image.
            width: channels of the feature, a multiple of FOV_SHRINKS.

        Raises:
            ConfigError: a ViT that does not suit.
        """
        super().__init__()
        self.window_px = window_px
        transformer = make_vit(vit, window_px, vit_depth)
        tokens = transformer.patch_embed.grid_size[0]
        self.encoder = nn.Sequential(transformer, nn.Linear(transformer.embed_dim, width // 2))
        self.downsample = nn.Sequential(
            nn.Conv2d(width, width // 2, 3, stride=2, padding=1), nn.ReLU()
        )
        # Two convolutions halve the map, an odd one rounded up; the last sees what is left.
        left = -(-tokens // 4)
        self.head = nn.Sequential(
            nn.Conv2d(width // 2, width // 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 4, width // FOV_SHRINKS, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // FOV_SHRINKS, 1, left),
        )

    def forward(self, image: Tensor, feature: Tensor) -> Tensor:
        size = (self.window_px, self.window_px)
        small = functional.interpolate(image, size, mode='bilinear', align_corners=False)
        tokens = last_tokens_of(cast(VisionTransformer, self.encoder[0]), small)
        maps = tokens_to_maps(self.encoder[1](tokens))
        hidden = self.head[:-1](maps + self.downsample(feature.detach()))
        return in_single_precision(self.head[-1], hidden).flatten()
