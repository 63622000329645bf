"""Monodepth2's separate pose network (Godard et al., ICCV 2019)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.networks.backbones import Backbone

# Motions between neighbouring frames are small; the published network scales its answer so.
MOTION_SCALE = 0.01
# The published weights answer for two frames; only the first answer is used.
OUTPUT_CHANNELS = 12


class PoseDecoder(nn.Module):
    """The encoder's last feature [B, C, h, w] -> motion [B, 12], averaged over the image."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, channels, 1)
        self.hidden_0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.hidden_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.output = nn.Conv2d(channels, OUTPUT_CHANNELS, 1)

    def forward(self, feature: Tensor) -> Tensor:
        x = functional.relu(self.squeeze(feature))
        x = functional.relu(self.hidden_0(x))
        x = functional.relu(self.hidden_1(x))
        return self.output(x).mean(dim=(2, 3))


class PoseNet(nn.Module):
    """Two images in temporal order -> the motion that takes earlier points to the later camera.

    forward: earlier, later [B, 3, H, W] RGB in [0, 1] -> (axis-angle [B, 3] in radians,
    translation [B, 3] in the depth network's unit), later_T_earlier = Trans(t) R as
    training.geometry.motion_to_transform makes it. Driving forward gives -z.
    """

    def __init__(self, backbone: Backbone, channels: int, shrink: int = 1) -> None:
        """shrink: the images are averaged over so many pixels in each direction first."""
        super().__init__()
        self.shrink = shrink
        self.encoder = backbone
        self.decoder = PoseDecoder(backbone.channels[-1], channels)

    def forward(self, earlier01: Tensor, later01: Tensor) -> tuple[Tensor, Tensor]:
        pair01 = torch.cat([earlier01, later01], dim=1)
        if self.shrink > 1:
            pair01 = functional.avg_pool2d(pair01, self.shrink)
        feature = self.encoder(pair01)[-1]
        motion = self.decoder(feature)
        # Scaled in single precision at least: small motions are below what half can represent.
        motion = motion.to(torch.promote_types(motion.dtype, torch.float32)) * MOTION_SCALE
        return motion[:, :3], motion[:, 3:6]
