"""Depth Pro: canonical inverse depth and field of view of one image.

Source: Bochkovskii et al., Depth Pro: Sharp Monocular Metric Depth in Less Than a Second, ICLR
2025, arXiv 2410.02073.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from depth_ros.errors import ConfigError
from training.networks.depth_pro_decoder import HEAD_SHRINKS, DepthProDecoder, make_head
from training.networks.depth_pro_encoder import DepthProEncoder
from training.networks.depth_pro_fov import FOV_SHRINKS, FovHead
from training.networks.depth_pro_windows import WindowGrid, common_step
from training.networks.single_precision import in_single_precision

# Sides of a window to one of the image at full, half and quarter scale.
_SCALES = (4, 2, 1)
_WIDTH_STEP = max(HEAD_SHRINKS, FOV_SHRINKS)


@dataclass(frozen=True)
class DepthProConfig:
    """What a Depth Pro network is made of. The defaults are the published network's.

    vit: timm's name of all its ViTs, whose patches become 16 pixels. vit_depth: number of their
    blocks; None: as timm has them. window_px: side of the image that a ViT sees; the whole image's
    is four times that. windows: windows to a side of the image at full and at half scale.
    latent_blocks: blocks of the ViT, from 0, whose answers become the two finest features. widths:
    channels of the encoder's three other features. width: channels of the decoder and of the two
    finest features. fov_head: whether the field of view is told.
    """

    vit: str = 'vit_large_patch14_dinov2'
    vit_depth: int | None = None
    window_px: int = 384
    windows: tuple[int, int] = (5, 3)
    latent_blocks: tuple[int, int] = (5, 11)
    widths: tuple[int, int, int] = (512, 1024, 1024)
    width: int = 256
    fov_head: bool = True

    def __post_init__(self) -> None:
        if len(self.windows) != 2 or any(n < s for n, s in zip(self.windows, _SCALES)):
            raise ConfigError(
                f'windows is {self.windows}; need {_SCALES[0]} or more a side at full scale and '
                f'{_SCALES[1]} or more at half scale'
            )
        step = common_step(tuple(zip(self._per_side, _SCALES)))
        if self.window_px < step or self.window_px % step:
            raise ConfigError(
                f'window_px is {self.window_px}; need a multiple of {step} for {self.windows[0]} '
                f'and {self.windows[1]} windows a side'
            )
        first, second = self.latent_blocks
        if not 0 <= first < second:
            raise ConfigError(
                f'latent_blocks is {self.latent_blocks}; need two, ascending, the first block is 0'
            )
        if len(self.widths) != 3 or min(self.widths) < 1:
            raise ConfigError(f'widths is {self.widths}; need 3 positive widths')
        if self.width < _WIDTH_STEP or self.width % _WIDTH_STEP:
            raise ConfigError(f'width is {self.width}; need a multiple of {_WIDTH_STEP}')

    @property
    def image_px(self) -> int:
        """Side of the image that the network takes, and of its answer."""
        return _SCALES[0] * self.window_px

    @property
    def grids(self) -> tuple[WindowGrid, ...]:
        """The windows at full, half and quarter scale."""
        return tuple(
            WindowGrid(per_side, self.window_px, scale)
            for per_side, scale in zip(self._per_side, _SCALES)
        )

    @property
    def _per_side(self) -> tuple[int, ...]:
        return (*self.windows, 1)


class DepthPro(nn.Module):
    """One image -> canonical inverse depth and horizontal field of view.

    forward: image [B, 3, S, S] RGB in [0, 1] with S = config.image_px, whatever its aspect ratio
    was -> canonical inverse depth [B, 1, S, S], 0 or more, and degrees [B], of no bounds, or None
    without a field-of-view head, both in single precision also within autocast. See
    training.networks.canonical for both in metres and pixels.
    Raises ConfigError for an image of another size.

    Parameters have the names of the published file.
    """

    def __init__(self, config: DepthProConfig) -> None:
        """Random weights. Raises ConfigError: a ViT that does not suit or lacks the blocks."""
        super().__init__()
        self.config = config
        self.encoder = DepthProEncoder(
            config.vit, config.vit_depth, config.grids, config.latent_blocks, config.width,
            config.widths,
        )
        self.decoder = DepthProDecoder(self.encoder.channels, config.width)
        self.head = make_head(config.width)
        self.fov = (
            FovHead(config.vit, config.vit_depth, config.window_px, config.width)
            if config.fov_head else None
        )

    def forward(self, image01: Tensor) -> tuple[Tensor, Tensor | None]:
        image = self._normalised(image01)
        decoded, coarsest = self.decoder(self.encoder(image))
        canonical = in_single_precision(self.head[-2:], self.head[:-2](decoded))
        return canonical, None if self.fov is None else self.fov(image, coarsest)

    def field_of_view(self, image01: Tensor) -> Tensor:
        """The degrees [B] of forward alone, in a sixteenth of its time; of a net with that head.

        Raises:
            ConfigError: an image of another size.
        """
        assert self.fov is not None
        image = self._normalised(image01)
        coarsest = self.decoder.projected(self.encoder.coarsest(image))
        return self.fov(image, coarsest)

    def _normalised(self, image01: Tensor) -> Tensor:
        height, width = image01.shape[-2:]
        side = self.config.image_px
        if (height, width) != (side, side):
            raise ConfigError(f'the image has {width} x {height} pixels; need {side} x {side}')
        # Not ImageNet's figures, though DINOv2 was trained with them.
        return (image01 - 0.5) / 0.5
