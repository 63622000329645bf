"""Monodepth2's training step as its paper reads: loops over scales and sources, nothing shared.

What the trainer's speed is measured against, and a second implementation of its loss (Godard et
al., Digging Into Self-Supervised Monocular Depth Estimation, ICCV 2019, sections 3 and 4).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import ColorJitter
from torchvision.transforms import functional as pictures

from benchmarks.plain_networks import PlainNetworks
from depth_ros.cameras.intrinsics import Intrinsics

SCALES = 4
MIN_DEPTH, MAX_DEPTH = 0.1, 100.0
SMOOTHNESS = 1e-3
NOISE = 1e-5
_JITTER = ((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1))


@dataclass(frozen=True)
class PlainBatch:
    """One step's images in [0, 1], previous, target and next, and the camera.

    Attributes:
        pyramids: un-augmented, [B,3,H/2^s,W/2^s] by frame and scale.
        coloured: the same at full size with changed colours, [B,3,H,W] by frame.
        intrinsics: K [B,3,3] in pixels of full size.
    """

    pyramids: list[list[Tensor]]
    coloured: list[Tensor]
    intrinsics: Tensor

    def to(self, device: torch.device) -> PlainBatch:
        """The same on another device."""
        return PlainBatch(
            [[image.to(device) for image in pyramid] for pyramid in self.pyramids],
            [image.to(device) for image in self.coloured],
            self.intrinsics.to(device),
        )


@dataclass
class Phases:
    """Seconds that went into each part of the steps so far."""

    data: float = 0.0
    networks: float = 0.0
    loss: float = 0.0
    backward: float = 0.0
    optimizer: float = 0.0

    @property
    def total(self) -> float:
        """Of all parts."""
        return sum(getattr(self, field.name) for field in fields(self))


class Ssim(nn.Module):
    """Images [B, 3, H, W] twice -> (1 - SSIM) / 2 in [0, 1], same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ReflectionPad2d(1)
        self.mean = nn.AvgPool2d(3, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self.pad(x), self.pad(y)
        mu_x, mu_y = self.mean(x), self.mean(y)
        sigma_x = self.mean(x**2) - mu_x**2
        sigma_y = self.mean(y**2) - mu_y**2
        sigma_xy = self.mean(x * y) - mu_x * mu_y
        top = (2 * mu_x * mu_y + 0.01**2) * (2 * sigma_xy + 0.03**2)
        bottom = (mu_x**2 + mu_y**2 + 0.01**2) * (sigma_x + sigma_y + 0.03**2)
        return torch.clamp((1 - top / bottom) / 2, 0, 1)


class PlainLoss(nn.Module):
    """Mean over scales of minimum reprojection with automask and weighted smoothness."""

    def __init__(self) -> None:
        super().__init__()
        self.ssim = Ssim()

    def forward(
        self, disparities: list[Tensor], batch: PlainBatch, source_T_target: list[Tensor]
    ) -> Tensor:
        """disparities by scale; transforms [B,4,4] to the previous and the next frame."""
        target = batch.pyramids[1][0]
        sources = [batch.pyramids[0][0], batch.pyramids[2][0]]
        total = torch.zeros((), device=target.device)
        for scale in range(SCALES):
            full = functional.interpolate(
                disparities[scale], target.shape[-2:], mode='bilinear', align_corners=False
            )
            depth = 1 / (1 / MAX_DEPTH + (1 / MIN_DEPTH - 1 / MAX_DEPTH) * full)
            reprojected = [
                self.photometric(view(source, depth, batch.intrinsics, transform), target)
                for source, transform in zip(sources, source_T_target)
            ]
            unmoved = [self.photometric(source, target) for source in sources]
            unmoved = [error + NOISE * torch.randn_like(error) for error in unmoved]
            least = torch.cat([*unmoved, *reprojected], dim=1).min(dim=1).values
            smoothness = roughness(disparities[scale], batch.pyramids[1][scale])
            total = total + least.mean() + SMOOTHNESS / 2**scale * smoothness
        return total / SCALES

    def photometric(self, image: Tensor, target: Tensor) -> Tensor:
        """[B,3,H,W] twice -> error [B,1,H,W]."""
        structural = self.ssim(image, target).mean(1, keepdim=True)
        return 0.85 * structural + 0.15 * (image - target).abs().mean(1, keepdim=True)


def view(source: Tensor, depth: Tensor, intrinsics: Tensor, source_T_target: Tensor) -> Tensor:
    """The source image as the target camera sees it, [B,3,H,W]."""
    count, _, height, width = depth.shape
    v, u = torch.meshgrid(
        torch.arange(height, device=depth.device, dtype=depth.dtype),
        torch.arange(width, device=depth.device, dtype=depth.dtype), indexing='ij',
    )  # fmt: skip
    pixels = torch.stack([u, v, torch.ones_like(u)]).reshape(1, 3, -1).expand(count, -1, -1)
    points = depth.reshape(count, 1, -1) * (torch.inverse(intrinsics) @ pixels)
    points = torch.cat([points, torch.ones_like(points[:, :1])], dim=1)
    seen = intrinsics @ (source_T_target @ points)[:, :3]
    place = (seen[:, :2] / (seen[:, 2:] + 1e-7)).reshape(count, 2, height, width)
    place = place.permute(0, 2, 3, 1)
    grid = 2 * (place / torch.tensor([width - 1, height - 1], device=depth.device) - 0.5)
    return functional.grid_sample(source, grid, padding_mode='border', align_corners=True)


def roughness(disparity: Tensor, image: Tensor) -> Tensor:
    """Edge-aware smoothness of the mean-normalised disparity."""
    disparity = disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7)
    along_x = (disparity[..., :-1] - disparity[..., 1:]).abs()
    along_y = (disparity[..., :-1, :] - disparity[..., 1:, :]).abs()
    edges_x = (image[..., :-1] - image[..., 1:]).abs().mean(1, keepdim=True)
    edges_y = (image[..., :-1, :] - image[..., 1:, :]).abs().mean(1, keepdim=True)
    return (along_x * torch.exp(-edges_x)).mean() + (along_y * torch.exp(-edges_y)).mean()


def transform_of(motion: Tensor, invert: bool) -> Tensor:
    """Axis-angle and translation [B,6] -> Trans(t) R, or its inverse, [B,4,4]."""
    axis_angle, translation = motion[:, :3], motion[:, 3:]
    angle = axis_angle.norm(dim=1, keepdim=True)
    x, y, z = (axis_angle / (angle + 1e-7)).unbind(1)
    cos, sin = torch.cos(angle[:, 0]), torch.sin(angle[:, 0])
    rest = 1 - cos
    rotation = torch.stack([
        x * x * rest + cos, x * y * rest - z * sin, z * x * rest + y * sin,
        x * y * rest + z * sin, y * y * rest + cos, y * z * rest - x * sin,
        z * x * rest - y * sin, y * z * rest + x * sin, z * z * rest + cos,
    ], dim=1).reshape(-1, 3, 3)  # fmt: skip
    turn = torch.eye(4, device=motion.device).repeat(len(motion), 1, 1)
    shift = turn.clone()
    if invert:
        turn[:, :3, :3], shift[:, :3, 3] = rotation.transpose(1, 2), -translation
        return turn @ shift
    turn[:, :3, :3], shift[:, :3, 3] = rotation, translation
    return shift @ turn


class PlainTrainer:
    """Networks, loss and optimiser; `step` is one training step."""

    def __init__(self, networks: PlainNetworks, device: torch.device, lr: float = 1e-4) -> None:
        self.networks = networks.to(device)
        self.device = device
        self.criterion = PlainLoss()
        self.optimizer = torch.optim.Adam(networks.parameters(), lr)

    def loss(self, batch: PlainBatch, phases: Phases) -> Tensor:
        """The loss of a batch, with gradient; the time of its two parts is added to phases."""
        began = self.now()
        previous, target, following = batch.coloured
        disparities = self.networks.disparities(target)
        to_previous = transform_of(self.networks.motion(previous, target), invert=True)
        to_next = transform_of(self.networks.motion(target, following), invert=False)
        between = self.now()
        loss = self.criterion(disparities, batch, [to_previous, to_next])
        phases.networks += between - began
        phases.loss += self.now() - between
        return loss

    def step(self, load: Callable[[], PlainBatch], phases: Phases) -> float:
        """Load, evaluate, differentiate, update; the time of every part is added to phases."""
        began = self.now()
        batch = load().to(self.device)
        phases.data += self.now() - began
        loss = self.loss(batch, phases)
        began = self.now()
        self.optimizer.zero_grad()
        loss.backward()
        between = self.now()
        self.optimizer.step()
        phases.backward += between - began
        phases.optimizer += self.now() - between
        return loss.item()

    def now(self) -> float:
        """Seconds on a clock, all work on the device done."""
        if self.device.type == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter()


class JpegTriples:
    """Batches of neighbouring frames from a folder of JPEG files, as papers' code loads them.

    Every frame is decoded, mirrored, resized to four scales by Lanczos (each from the one
    before) and jittered on its own, with PIL.
    """

    def __init__(self, folder: Path, camera: Intrinsics) -> None:
        """camera: of the network's images, its size included."""
        self._files = sorted(folder.glob('*.jpg'))
        self._size = (camera.width, camera.height)
        self._intrinsics = torch.from_numpy(camera.matrix).float()
        self._next = 0

    def batch(self, size: int) -> PlainBatch:
        """The next `size` samples."""
        samples = [self._sample() for _ in range(size)]
        pyramids = [
            [torch.stack([sample[0][frame][scale] for sample in samples])
             for scale in range(SCALES)] for frame in range(3)
        ]  # fmt: skip
        coloured = [torch.stack([sample[1][frame] for sample in samples]) for frame in range(3)]
        return PlainBatch(pyramids, coloured, self._intrinsics.repeat(size, 1, 1))

    def _sample(self) -> tuple[list[list[Tensor]], list[Tensor]]:
        first = self._next
        self._next = (self._next + 1) % (len(self._files) - 2)
        flip, jitter = bool(torch.rand(()) < 0.5), bool(torch.rand(()) < 0.5)
        order, *factors = ColorJitter.get_params(*_JITTER)
        pyramids, coloured = [], []
        for path in self._files[first : first + 3]:
            with path.open('rb') as file, Image.open(file) as opened:
                image = opened.convert('RGB')
            if flip:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            width, height = self._size
            levels = []
            for scale in range(SCALES):
                image = image.resize((width >> scale, height >> scale), Image.Resampling.LANCZOS)
                levels.append(image)
            pyramids.append([pictures.to_tensor(level) for level in levels])
            changed = [_jittered(level, order, factors) if jitter else level for level in levels]
            coloured.append(pictures.to_tensor(changed[0]))
        return pyramids, coloured


def _jittered(image: Image.Image, order: Tensor, factors: list[float]) -> Image.Image:
    changes = (
        pictures.adjust_brightness, pictures.adjust_contrast, pictures.adjust_saturation,
        pictures.adjust_hue,
    )  # fmt: skip
    for index in order.tolist():
        image = changes[index](image, factors[index])
    return image
