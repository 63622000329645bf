"""Depth Pro's vision transformers: timm's, at a patch and an image size of their own.

Source: Bochkovskii et al., Depth Pro, ICLR 2025, section 3.1 and appendix B; their initial weights
are those of Oquab et al., DINOv2, TMLR 2024.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import timm
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from depth_ros.errors import ConfigError, ModelError
from training.networks.depth_pro_windows import PATCH_PX

_PATCHES, _POSITIONS, _MASK = 'patch_embed.proj.weight', 'pos_embed', 'mask_token'


def make_vit(name: str, image_px: int, depth: int | None = None) -> VisionTransformer:
    """A ViT with random weights for square images, patches of 16 pixels, without classifier.

    Its attention is timm's fused one. depth: number of blocks; None: as timm has them.

    Raises:
        ConfigError: a depth below 1, a name that timm does not know, or whose tokens are not one
            for the class and one for each patch, with positions learnt for all and a norm at the
            end.
    """
    if not timm.is_model(name):
        raise ConfigError(f'vit {name!r} is not known to timm')
    if depth is not None and depth < 1:
        raise ConfigError(f'vit_depth is {depth}; need 1 or more')
    changes: dict[str, Any] = {} if depth is None else {'depth': depth}
    try:
        vit = timm.create_model(
            name, num_classes=0, global_pool='', img_size=image_px, patch_size=PATCH_PX,
            dynamic_img_size=False, **changes,
        )  # fmt: skip
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        raise ConfigError(f'vit {name!r} cannot be made for Depth Pro: {error}') from error
    expected = (1, 1 + (image_px // PATCH_PX) ** 2)
    if (
        not isinstance(vit, VisionTransformer)
        or vit.cls_token is None
        or vit.pos_embed is None
        or tuple(vit.pos_embed.shape[:2]) != expected
        or isinstance(vit.norm, nn.Identity)
    ):
        raise ConfigError(
            f'vit {name!r} does not suit Depth Pro; need a plain one with a class token, such as '
            'vit_large_patch14_dinov2, vit_small_patch14_dinov2 or vit_tiny_patch16_224'
        )
    return vit


def tokens_of(
    vit: VisionTransformer, images: Tensor, blocks: Sequence[int]
) -> tuple[Tensor, list[Tensor]]:
    """What a ViT tells of images [N, 3, S, S]: tokens [N, n * n, C] without the class's.

    Those of its end, normed, and those after each of `blocks`, ascending from 0, as they are.
    """
    last, within = cast(
        tuple[Tensor, list[Tensor]],
        vit.forward_intermediates(images, indices=list(blocks), output_fmt='NLC'),
    )
    return last[:, 1:], within


def last_tokens_of(vit: VisionTransformer, images: Tensor) -> Tensor:
    """Tokens [N, n * n, C] of a ViT's end for images [N, 3, S, S], normed, without the class's."""
    return vit.forward_features(images)[:, 1:]


def tokens_to_maps(tokens: Tensor) -> Tensor:
    """Tokens [N, n * n, C], row by row -> maps [N, C, n, n]."""
    side = math.isqrt(tokens.shape[1])
    return tokens.transpose(1, 2).unflatten(2, (side, side))


def fit_vit_weights(state: Mapping[str, Tensor], image_px: int) -> dict[str, Tensor]:
    """A pretrained ViT's weights, such as DINOv2's, for patches of 16 pixels.

    Patch filters are enlarged bicubically and divided by the growth of their area, so that an
    evenly coloured image gives the same response. Positions are resampled bicubically to the new
    number of tokens, that of the class stays. DINOv2's mask token, which only its training used,
    is left out.

    Args:
        state: under timm's names, positions of a square image and the class.
        image_px: side of the ViT's image, a multiple of 16.

    Raises:
        ModelError: patches or positions are missing or not those of a square image.
    """
    fitted = {key: value for key, value in state.items() if key != _MASK}
    for key, axes in ((_PATCHES, 4), (_POSITIONS, 3)):
        if key not in fitted:
            raise ModelError(f'initial weights of a ViT lack {key}')
        if fitted[key].ndim != axes:
            raise ModelError(f'{key} is {tuple(fitted[key].shape)}; need {axes} axes')
    fitted[_PATCHES] = _enlarged(fitted[_PATCHES])
    fitted[_POSITIONS] = _resampled(fitted[_POSITIONS], image_px // PATCH_PX)
    return fitted


def _enlarged(filters: Tensor) -> Tensor:
    """[C, 3, k, k] -> [C, 3, 16, 16]."""
    height, width = filters.shape[-2:]
    if height != width:
        raise ModelError(f'{_PATCHES} is {tuple(filters.shape)}; need square patches')
    if width == PATCH_PX:
        return filters
    size = (PATCH_PX, PATCH_PX)
    larger = functional.interpolate(filters.float(), size, mode='bicubic', align_corners=False)
    return (larger * (width / PATCH_PX) ** 2).to(filters.dtype)


def _resampled(positions: Tensor, side: int) -> Tensor:
    """[1, 1 + n * n, C] -> [1, 1 + side * side, C], the class first."""
    n = math.isqrt(positions.shape[1] - 1)
    if 1 + n * n != positions.shape[1]:
        raise ModelError(
            f'{_POSITIONS} is {tuple(positions.shape)}; need 1 + n * n positions, the class first'
        )
    return resample_abs_pos_embed(positions, [side, side], [n, n], num_prefix_tokens=1)
