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
    """Random choices of a batch, on the CPU: a device gets what is computed of them.

    Attributes:
        flip: bool [B].
        window: upper left corner and size of the part that is zoomed into, as shares of the
            image, (x, y, size), float32 [B,3]; None: no zoom.
        brightness, contrast, saturation: factors [B].
        hue: angle [B] in radians.
        blur: standard deviations [B] in pixels, 0 for none; None: nothing is blurred.
    """

    flip: Tensor
    window: Tensor | None
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    blur: Tensor | None = None

    def part(self, samples: slice) -> Draws:
        """Those of some samples."""
        return Draws(*(None if values is None else values[samples] for values in self))  # type: ignore[arg-type]


def draw(config: AugmentConfig, seed: int, step: int, batch_size: int) -> Draws:
    """The choices of one step: a function of seed and step alone."""
    rng = np.random.default_rng([seed, step, 3])
    flip = rng.random(batch_size) < config.flip
    size = 1 / rng.uniform(1, config.zoom, batch_size)
    corner = rng.random((batch_size, 2)) * (1 - size[:, None])
    if config.zoom_centred:
        corner = np.repeat(0.5 * (1 - size[:, None]), 2, 1)
    jittered = rng.random(batch_size) < config.jitter

    def factor(spread: float) -> np.ndarray:
        return np.where(jittered, rng.uniform(1 - spread, 1 + spread, batch_size), 1.0)

    brightness, contrast = factor(config.brightness), factor(config.contrast)
    saturation = factor(config.saturation)
    hue = (factor(config.hue) - 1) * 2 * math.pi
    window = np.concatenate([corner, size[:, None]], axis=1)
    # Drawn last, each only where asked for: what was drawn before them stays as it was.
    if config.zoom_share < 1:
        window[rng.random(batch_size) >= config.zoom_share] = (0.0, 0.0, 1.0)
    blur = None
    if config.blur > 0:
        sigma = rng.uniform(0, config.blur_sigma, batch_size)
        blur = _float32(np.where(rng.random(batch_size) < config.blur, sigma, 0.0))
    return Draws(
        flip=torch.from_numpy(flip),
        window=_float32(window) if config.zoom > 1 else None,
        brightness=_float32(brightness),
        contrast=_float32(contrast),
        saturation=_float32(saturation),
        hue=_float32(hue),
        blur=blur,
    )


def draw_for(
    config: AugmentConfig, seed: int, step: int, batch: Batch, ranks: Ranks = ALONE
) -> Draws:
    """The choices for this process's batch of a step.

    Processes that train together draw for all their samples, and each takes those of its own.
    """
    count = len(batch.images)
    own = slice(ranks.rank * count, (ranks.rank + 1) * count)
    return draw(config, seed, step, count * ranks.count).part(own)


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
    coloured01 = change_colours(images01, draws)
    return batch, images01, coloured01 if draws.blur is None else blurred(coloured01, draws.blur)


def augmented_target(
    config: AugmentConfig, seed: int, step: int, batch: Batch, ranks: Ranks = ALONE
) -> tuple[Batch, Tensor]:
    """The same of the targets alone.

    Returns:
        the batch with changed geometry and no other images, and what a network sees of it,
        float32 [B,3,H,W].
    """
    batch = batch._replace(images=batch.images[:, TARGET : TARGET + 1])
    batch, _, coloured01 = augmented(config, seed, step, batch, ranks)
    return batch, coloured01[:, TARGET]


def to_unit_images(images: Tensor) -> Tensor:
    """uint8 [B,F,H,W,3] to float32 [B,F,3,H,W] in [0, 1]."""
    return images.permute(0, 1, 4, 2, 3).float().mul_(1 / 255)


def change_geometry(batch: Batch, images01: Tensor, draws: Draws) -> tuple[Batch, Tensor]:
    """Mirror and zoom.

    Args:
        batch: as loaded; its uint8 images are not touched.
        images01: [B,F,3,H,W] in [0, 1].
        draws: of the batch.

    Returns:
        the batch with changed intrinsics, truth and visible window, and the changed images.
    """
    columns = [draws.flip[:, None].float()]
    if draws.window is not None:
        columns.append(draws.window)
    sent = _sent(torch.cat(columns, dim=1), images01.device)
    if draws.window is not None:
        batch, images01 = _zoom(batch, images01, sent[:, 1:])
    return _flip(batch, images01, sent[:, 0])


def change_colours(images01: Tensor, draws: Draws) -> Tensor:
    """Jitter brightness, contrast (about the target's mean), saturation and hue of [B,F,3,H,W].

    All four are affine in RGB, so that they are one 3x3 matrix and one offset a sample.
    """
    count, luma = len(images01), torch.tensor(_LUMA)
    saturation = draws.saturation[:, None, None]
    matrix = saturation * torch.eye(3) + (1 - saturation) * luma.expand(3, 3)
    cos, sin = draws.hue.cos(), draws.hue.sin()
    turn = torch.zeros(count, 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = cos, -sin, sin, cos
    brightness, contrast = draws.brightness[:, None, None], draws.contrast[:, None, None]
    matrix = contrast * brightness * (_RGB @ turn @ _YIQ @ matrix)
    of_mean = (1 - contrast) * brightness * luma
    matrix, of_mean = _sent(torch.cat([matrix, of_mean], dim=1), images01.device).split((3, 1), 1)
    offset = (of_mean[:, 0] * images01[:, TARGET].mean((2, 3))).sum(1)
    changed = torch.einsum('bij,bfjhw->bfihw', matrix, images01)
    return changed.add_(offset[:, None, None, None, None]).clamp_(0, 1)


def blurred(images01: Tensor, sigma: Tensor) -> Tensor:
    """Images [B,F,3,H,W] after Gaussians of standard deviations [B] pixels; 0 leaves an image.

    sigma is on the CPU: it decides the sizes of filters.
    """
    reach = max(1, math.ceil(2.5 * float(sigma.max())))
    offsets = torch.arange(-reach, reach + 1)
    # A width of next to nothing is a filter that leaves the image.
    kernels = torch.exp(-0.5 * (offsets / sigma.clamp(min=1e-3)[:, None]).square())
    kernels = _sent(kernels / kernels.sum(1, keepdim=True), images01.device)
    count, frames, channels, height, width = images01.shape
    filters = kernels.repeat_interleave(channels, 0)
    flat = images01.transpose(0, 1).reshape(frames, count * channels, height, width)
    for axis in (2, 3):
        shape = (-1, 1, len(offsets), 1) if axis == 2 else (-1, 1, 1, len(offsets))
        pad = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        flat = functional.conv2d(
            functional.pad(flat, pad, mode='replicate'), filters.view(shape),
            groups=count * channels,
        )  # fmt: skip
    return flat.view(frames, count, channels, height, width).transpose(0, 1)


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the CPU on a device; only from pinned memory is it not waited for."""
    if device.type == 'cuda':
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


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
    edges = ((batch.visible - corner) / size[:, None]).unflatten(1, (2, 2))
    limits = (edges[..., 0].clamp(0, width), edges[..., 1].clamp(0, height))
    visible = torch.stack(limits, dim=2).flatten(1)
    zoomed = batch._replace(intrinsics=intrinsics, visible=visible, depth_m=depth[:, 0])
    return zoomed, seen.reshape(images01.shape)


def _flip(batch: Batch, images01: Tensor, flips: Tensor) -> tuple[Batch, Tensor]:
    """flips: 1.0 where a sample is mirrored, else 0.0 [B]."""
    flip, width = flips > 0, images01.shape[-1]
    images01 = torch.where(flip[:, None, None, None, None], images01.flip(-1), images01)
    depth_m = torch.where(flip[:, None, None], batch.depth_m.flip(-1), batch.depth_m)
    fx, fy, cx, cy = batch.intrinsics.unbind(1)
    cx = torch.where(flip, width - 1 - cx, cx)
    x0, y0, x1, y1 = batch.visible.unbind(1)
    x0, x1 = torch.where(flip, width - x1, x0), torch.where(flip, width - x0, x1)
    # The mirror image of a motion T is S T S with S = diag(-1, 1, 1, 1).
    signs = torch.ones(len(flips), 4, device=flips.device)
    signs[:, 0] = 1 - 2 * flips
    mirror = signs[:, :, None] * signs[:, None, :]
    return batch._replace(
        intrinsics=torch.stack([fx, fy, cx, cy], dim=1),
        visible=torch.stack([x0, y0, x1, y1], dim=1),
        depth_m=depth_m,
        target_T_previous=batch.target_T_previous * mirror,
        next_T_target=batch.next_T_target * mirror,
        stereo_T_target=batch.stereo_T_target * mirror,
    ), images01
