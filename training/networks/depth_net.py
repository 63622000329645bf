"""A depth network: any five-scale backbone with the decoder of one of the methods."""

from torch import Tensor, nn

from training.networks.backbones import Backbone
from training.networks.featdepth_decoder import RefiningDecoder
from training.networks.layers import LEVELS, SCALES
from training.networks.monodepth2_decoder import DepthDecoder


class DepthNet(nn.Module):
    """One image -> disparity, 0 far and 1 near (see training.geometry.disparity_to_depth).

    forward: image [B, 3, H, W] RGB in [0, 1], H and W multiples of 32 -> list of tensors
    [B, 1, H / (f 2^s), W / (f 2^s)] for s = finest .. scales - 1, where f is finest_stride: 1 with
    Monodepth2's decoder, 2 with FeatDepth's. All four are wanted in training, one for inference.
    In single precision, also within autocast.
    """

    def __init__(self, backbone: Backbone, decoder: DepthDecoder | RefiningDecoder) -> None:
        super().__init__()
        self.encoder = backbone
        self.decoder = decoder

    @property
    def finest_stride(self) -> int:
        """Pixels of the image, in each direction, to one of the finest disparity."""
        return self.decoder.finest_stride

    def forward(self, image01: Tensor, scales: int = SCALES, finest: int = 0) -> list[Tensor]:
        return self.decoder(self.encoder(image01), scales, finest)


__all__ = ['LEVELS', 'SCALES', 'DepthNet']
