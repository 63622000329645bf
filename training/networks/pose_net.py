"""The separate pose network of Monodepth2 and FeatDepth (Godard et al., ICCV 2019)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.backbones import Backbone
from training.networks.single_precision import in_single_precision

# Motions between neighbouring frames are small; the published network scales its answer so.
MOTION_SCALE = 0.01
_NUMBERS_OF_A_MOTION = 6


class PoseDecoder(nn.Module):
    """The encoder's last feature [B, C, h, w] -> [B, 6 motions], averaged over the image.

    Monodepth2's published weights state two motions, of which the first is used; FeatDepth's one.
    """

    def __init__(self, in_channels: int, channels: int, motions: int = 2) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, channels, 1)
        self.hidden_0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.hidden_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.output = nn.Conv2d(channels, _NUMBERS_OF_A_MOTION * motions, 1)

    def forward(self, feature: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(feature))
        x = functional.relu(self.hidden_0(x))
        x = functional.relu(self.hidden_1(x))
        return in_single_precision(self.output, x).mean(dim=(2, 3))


class PoseNet(nn.Module):
    """Two images in temporal order -> the motion that takes earlier points to the later camera.

    forward: earlier, later [B, 3, H, W] RGB in [0, 1] -> (axis-angle [B, 3] in radians,
    translation [B, 3] in the depth network's unit), later_T_earlier = Trans(t) R as
    training.geometry.motion_to_transform makes it. Driving forward gives -z.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        motions: int = 2,
        shrink: int = 1,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Make the decoder.

        Args:
            backbone: of two images.
            channels: hidden width of the decoder.
            motions: that the decoder states, see PoseDecoder.
            shrink: the images are averaged over so many pixels in each direction first.
            size: (width, height) that they are resized to bilinearly, whatever theirs is;
                None: theirs.
        """
        super().__init__()
        self.shrink = shrink
        self.size = size
        self.encoder = backbone
        self.decoder = PoseDecoder(backbone.channels[-1], channels, motions)

    def forward(self, earlier01: Tensor, later01: Tensor) -> tuple[Tensor, Tensor]:
        pair01 = self._resized(torch.cat([earlier01, later01], dim=1))
        feature = self.encoder(pair01)[-1]
        motion = self.decoder(feature)
        # Scaled in single precision at least: small motions are below what half can represent.
        motion = motion.to(torch.promote_types(motion.dtype, torch.float32)) * MOTION_SCALE
        return motion[:, :3], motion[:, 3:6]

    def _resized(self, pair01: Tensor) -> Tensor:
        if self.shrink > 1:
            return functional.avg_pool2d(pair01, self.shrink)
        if self.size is None or self.size == (pair01.shape[-1], pair01.shape[-2]):
            return pair01
        return functional.interpolate(
            pair01, self.size[::-1], mode='bilinear', align_corners=False
        )
