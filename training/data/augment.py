"""Random mirroring, zoom and colours on the training device: one draw for all frames of a sample.

Geometry changes images, intrinsics and truth together and is seen by networks and losses alike;
colours change only what the networks see (Godard et al., ICCV 2019, section 4).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.config import AugmentConfig
from training.data.batch import TARGET, Batch
from training.ranks import ALONE, Ranks

_LUMA = (0.299, 0.587, 0.114)
# RGB to YIQ; a turn of hue is a rotation of the IQ plane.
_YIQ = torch.tensor([_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_RGB = torch.linalg.inv(_YIQ)


class Draws(NamedTuple):
    """Random choices of a batch.

    Attributes:
        flip: bool [B].
        window: upper left corner and size of the part that is zoomed into, as shares of the
            image, (x, y, size), float32 [B,3]; None: no zoom.
        brightness, contrast, saturation: factors [B].
        hue: angle [B] in radians.
    """

    flip: Tensor
    window: Tensor | None
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor

    def part(self, samples: slice) -> Draws:
        """Those of some samples."""
        window = None if self.window is None else self.window[samples]
        numbers = (self.brightness, self.contrast, self.saturation, self.hue)
        return Draws(self.flip[samples], window, *(number[samples] for number in numbers))


def draw(config: AugmentConfig, seed: int, step: int, batch_size: int) -> Draws:
    """The choices of one step: a function of seed and step alone."""
    rng = np.random.default_rng([seed, step, 3])
    flip = rng.random(batch_size) < config.flip
    size = 1 / rng.uniform(1, config.zoom, batch_size)
    corner = rng.random((batch_size, 2)) * (1 - size[:, None])
    jittered = rng.random(batch_size) < config.jitter

    def factor(spread: float) -> np.ndarray:
        return np.where(jittered, rng.uniform(1 - spread, 1 + spread, batch_size), 1.0)

    brightness, contrast = factor(config.brightness), factor(config.contrast)
    saturation = factor(config.saturation)
    hue = (factor(config.hue) - 1) * 2 * math.pi
    window = np.concatenate([corner, size[:, None]], axis=1)
    return Draws(
        flip=torch.from_numpy(flip),
        window=_float32(window) if config.zoom > 1 else None,
        brightness=_float32(brightness),
        contrast=_float32(contrast),
        saturation=_float32(saturation),
        hue=_float32(hue),
    )


def to_device(draws: Draws, device: torch.device) -> Draws:
    """The draws as tensors of a device."""
    window = None if draws.window is None else draws.window.to(device)
    numbers = (draws.brightness, draws.contrast, draws.saturation, draws.hue)
    return Draws(draws.flip.to(device), window, *(number.to(device) for number in numbers))


def draw_for(
    config: AugmentConfig, seed: int, step: int, batch: Batch, ranks: Ranks = ALONE
) -> Draws:
    """The choices for this process's batch of a step, on the device of the batch.

    Processes that train together draw for all their samples, and each takes those of its own.
    """
    count = len(batch.images)
    own = slice(ranks.rank * count, (ranks.rank + 1) * count)
    draws = draw(config, seed, step, count * ranks.count).part(own)
    return to_device(draws, batch.images.device)


def augmented(
    config: AugmentConfig, seed: int, step: int, batch: Batch, ranks: Ranks = ALONE
) -> tuple[Batch, Tensor, Tensor]:
    """What one step sees of a batch: a function of seed, step and batch alone.

    Returns:
        the batch with changed geometry; its images in [0, 1] for the losses, and the same with
        changed colours for the networks, float32 [B,F,3,H,W] each.
    """
    draws = draw_for(config, seed, step, batch, ranks)
    batch, images01 = change_geometry(batch, to_unit_images(batch.images), draws)
    return batch, images01, change_colours(images01, draws)


def to_unit_images(images: Tensor) -> Tensor:
    """uint8 [B,F,H,W,3] to float32 [B,F,3,H,W] in [0, 1]."""
    return images.permute(0, 1, 4, 2, 3).float().mul_(1 / 255)


def change_geometry(batch: Batch, images01: Tensor, draws: Draws) -> tuple[Batch, Tensor]:
    """Mirror and zoom.

    Args:
        batch: as loaded; its uint8 images are not touched.
        images01: [B,F,3,H,W] in [0, 1].
        draws: on the same device.

    Returns:
        the batch with changed intrinsics, truth and visible window, and the changed images.
    """
    if draws.window is not None:
        batch, images01 = _zoom(batch, images01, draws.window)
    return _flip(batch, images01, draws.flip)


def change_colours(images01: Tensor, draws: Draws) -> Tensor:
    """Jitter brightness, contrast (about the target's mean), saturation and hue of [B,F,3,H,W].

    All four are affine in RGB, so that they are one 3x3 matrix and one offset a sample.
    """
    device, count = images01.device, len(images01)
    identity = torch.eye(3, device=device)
    luma = torch.tensor(_LUMA, device=device)
    grey = luma.expand(3, 3)
    saturation = draws.saturation[:, None, None]
    matrix = saturation * identity + (1 - saturation) * grey
    cos, sin = draws.hue.cos(), draws.hue.sin()
    turn = torch.zeros(count, 3, 3, device=device)
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
    matrix = _RGB.to(device) @ turn @ _YIQ.to(device) @ matrix
    brightness = draws.brightness[:, None, None]
    contrast = draws.contrast[:, None, None]
    matrix = contrast * brightness * matrix
    mean = images01[:, TARGET].mean((2, 3)) @ luma
    offset = (1 - draws.contrast) * draws.brightness * mean
    changed = torch.einsum('bij,bfjhw->bfihw', matrix, images01)
    return changed.add_(offset[:, None, None, None, None]).clamp_(0, 1)


def _float32(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _zoom(batch: Batch, images01: Tensor, window: Tensor) -> tuple[Batch, Tensor]:
    count, frames, _, height, width = images01.shape
    x, y, size = window.unbind(1)
    # Centres of the new pixels in coordinates of the old: (u + 0.5) size + x W - 0.5.
    u = (torch.arange(width, device=x.device) + 0.5) * size[:, None] + x[:, None] * width
    v = (torch.arange(height, device=x.device) + 0.5) * size[:, None] + y[:, None] * height
    grid = torch.empty(count, height, width, 2, device=x.device)
    grid[..., 0] = (u * (2 / width) - 1)[:, None, :]
    grid[..., 1] = (v * (2 / height) - 1)[:, :, None]
    stacked = images01.reshape(count, frames * 3, height, width)
    seen = functional.grid_sample(stacked, grid, 'bilinear', 'border', align_corners=False)
    # Nearest: a mean over an edge is no depth of anything, and NaN would spread.
    depth = functional.grid_sample(
        batch.depth_m[:, None], grid, 'nearest', 'border', align_corners=False
    )
    fx, fy, cx, cy = batch.intrinsics.unbind(1)
    intrinsics = torch.stack(
        [
            fx / size,
            fy / size,
            (cx + 0.5 - x * width) / size - 0.5,
            (cy + 0.5 - y * height) / size - 0.5,
        ],
        dim=1,
    )
    corner = torch.stack([x * width, y * height, x * width, y * height], dim=1)
    limit = torch.tensor([width, height, width, height], device=x.device, dtype=corner.dtype)
    visible = ((batch.visible - corner) / size[:, None]).clamp(min=0).minimum(limit)
    zoomed = batch._replace(intrinsics=intrinsics, visible=visible, depth_m=depth[:, 0])
    return zoomed, seen.reshape(images01.shape)


def _flip(batch: Batch, images01: Tensor, flip: Tensor) -> tuple[Batch, Tensor]:
    width = images01.shape[-1]
    images01 = torch.where(flip[:, None, None, None, None], images01.flip(-1), images01)
    depth_m = torch.where(flip[:, None, None], batch.depth_m.flip(-1), batch.depth_m)
    fx, fy, cx, cy = batch.intrinsics.unbind(1)
    cx = torch.where(flip, width - 1 - cx, cx)
    x0, y0, x1, y1 = batch.visible.unbind(1)
    x0, x1 = torch.where(flip, width - x1, x0), torch.where(flip, width - x0, x1)
    # The mirror image of a motion T is S T S with S = diag(-1, 1, 1, 1).
    signs = torch.tensor([-1.0, 1.0, 1.0, 1.0], device=flip.device)
    signs = torch.where(flip[:, None], signs, torch.ones_like(signs))
    mirror = signs[:, :, None] * signs[:, None, :]
    return batch._replace(
        intrinsics=torch.stack([fx, fy, cx, cy], dim=1),
        visible=torch.stack([x0, y0, x1, y1], dim=1),
        depth_m=depth_m,
        target_T_previous=batch.target_T_previous * mirror,
        next_T_target=batch.next_T_target * mirror,
        stereo_T_target=batch.stereo_T_target * mirror,
    ), images01
