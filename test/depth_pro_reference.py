"""A second, plain implementation of Depth Pro on a state dict, and the official file's keys."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Sizes:
    """What the shapes of a file follow from. The defaults are the published network's."""

    embedded: int = 1024
    blocks: int = 24
    heads: int = 16
    hidden: int = 4096
    layer_scale: bool = True
    window_px: int = 384
    per_side: tuple[int, int] = (5, 3)
    latent_blocks: tuple[int, int] = (5, 11)
    widths: tuple[int, int, int] = (512, 1024, 1024)
    width: int = 256
    fov: bool = True

    @property
    def tokens(self) -> int:
        return self.window_px // 16


def shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Every key of an official file."""
    of = {}
    for vit in ('encoder.patch_encoder', 'encoder.image_encoder', 'fov.encoder.0'):
        of |= {f'{vit}.{key}': shape for key, shape in _vit_shapes(sizes).items()}
    embedded, width = sizes.embedded, sizes.width
    upsamplings = {
        'upsample_latent0': (width, 3), 'upsample_latent1': (width, 2),
        'upsample0': (sizes.widths[0], 1), 'upsample1': (sizes.widths[1], 1),
        'upsample2': (sizes.widths[2], 1),
    }  # fmt: skip
    for name, (out, doublings) in upsamplings.items():
        of[f'encoder.{name}.0.weight'] = (out, embedded, 1, 1)
        for i in range(1, doublings + 1):
            of[f'encoder.{name}.{i}.weight'] = (out, out, 2, 2)
    coarse = sizes.widths[2]
    of |= _biased('encoder.upsample_lowres', (embedded, coarse, 2, 2), coarse)
    of |= _biased('encoder.fuse_lowres', (coarse, 2 * coarse, 1, 1), coarse)
    for i, count in enumerate((width, *sizes.widths), 1):
        of[f'decoder.convs.{i}.weight'] = (width, count, 3, 3)
    for i in range(5):
        for unit in (1, 2):
            for j in (1, 3):
                name = f'decoder.fusions.{i}.resnet{unit}.residual.{j}'
                of |= _biased(name, (width, width, 3, 3), width)
        if i > 0:
            of[f'decoder.fusions.{i}.deconv.weight'] = (width, width, 2, 2)
        of |= _biased(f'decoder.fusions.{i}.out_conv', (width, width, 1, 1), width)
    half, quarter, eighth = width // 2, width // 4, width // 8
    of |= _biased('head.0', (half, width, 3, 3), half)
    of |= _biased('head.1', (half, half, 2, 2), half)
    of |= _biased('head.2', (eighth, half, 3, 3), eighth)
    of |= _biased('head.4', (1, eighth, 1, 1), 1)
    left = math.ceil(sizes.tokens / 4)
    of |= _biased('fov.encoder.1', (half, embedded), half)
    of |= _biased('fov.downsample.0', (half, width, 3, 3), half)
    of |= _biased('fov.head.0', (quarter, half, 3, 3), quarter)
    of |= _biased('fov.head.2', (eighth, quarter, 3, 3), eighth)
    of |= _biased('fov.head.4', (1, eighth, left, left), 1)
    return {key: shape for key, shape in of.items() if sizes.fov or not key.startswith('fov.')}


def random_state(sizes: Sizes, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep numbers near one; depth and field of view are about 1 and 60 degrees."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes(sizes).items():
        noise = torch.randn(shape, generator=generator)
        if 'norm' in key or 'gamma' in key:
            state[key] = 0.1 * noise + (1.0 if key.endswith(('weight', 'gamma')) else 0.0)
        elif len(shape) == 1 or key.endswith(('pos_embed', 'cls_token')):
            state[key] = 0.1 * noise
        else:
            state[key] = noise / math.sqrt(math.prod(shape[1:]))
    state['head.4.bias'] += 1.0
    if sizes.fov:
        state['fov.head.4.bias'] += 60.0
    return state


def answers(
    state: dict[str, Tensor], sizes: Sizes, image01: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Canonical inverse depth [B, 1, S, S] and field of view [B] of images [B, 3, S, S]."""
    image = 2.0 * image01 - 1.0
    features = encoded(state, sizes, image)
    x = coarsest = functional.conv2d(features[4], state['decoder.convs.4.weight'], padding=1)
    for level in (4, 3, 2, 1, 0):
        fusion = f'decoder.fusions.{level}'
        if level < 4:
            skip = features[level]
            if level > 0:
                skip = functional.conv2d(skip, state[f'decoder.convs.{level}.weight'], padding=1)
            x = x + _residual_unit(state, f'{fusion}.resnet1', skip)
        x = _residual_unit(state, f'{fusion}.resnet2', x)
        if level > 0:
            x = functional.conv_transpose2d(x, state[f'{fusion}.deconv.weight'], stride=2)
        x = _conv(state, f'{fusion}.out_conv', x)
    x = _conv(state, 'head.0', x, padding=1)
    x = _deconv(state, 'head.1', x)
    x = _conv(state, 'head.2', x, padding=1).relu()
    canonical = _conv(state, 'head.4', x).relu()
    if not sizes.fov:
        return canonical, None
    tokens = _vit(state, 'fov.encoder.0', sizes, _shrunk(image, 4))[0]
    tokens = functional.linear(tokens, state['fov.encoder.1.weight'], state['fov.encoder.1.bias'])
    low = _conv(state, 'fov.downsample.0', coarsest, stride=2, padding=1).relu()
    x = _map(tokens[:, 1:]) + low
    x = _conv(state, 'fov.head.0', x, stride=2, padding=1).relu()
    x = _conv(state, 'fov.head.2', x, stride=2, padding=1).relu()
    return canonical, _conv(state, 'fov.head.4', x)[:, 0, 0, 0]


def encoded(state: dict[str, Tensor], sizes: Sizes, image: Tensor) -> list[Tensor]:
    """The encoder's five features of images in [-1, 1], one image and one window at a time."""
    each = [_encoded_one(state, sizes, image[i : i + 1]) for i in range(len(image))]
    return [torch.cat(features) for features in zip(*each)]


def _encoded_one(state: dict[str, Tensor], sizes: Sizes, image: Tensor) -> list[Tensor]:
    vit = 'encoder.patch_encoder'
    full, half = sizes.per_side
    at_full = _mosaic(state, sizes, image, full)
    at_half = _mosaic(state, sizes, _shrunk(image, 2), half)
    small = _shrunk(image, 4)
    quarter = _map(_vit(state, vit, sizes, small)[0][:, 1:])
    whole = _map(_vit(state, 'encoder.image_encoder', sizes, small)[0][:, 1:])
    one = _upsample(state, 'encoder.upsample2', quarter)
    other = _deconv(state, 'encoder.upsample_lowres', whole)
    return [
        _upsample(state, 'encoder.upsample_latent0', at_full[1]),
        _upsample(state, 'encoder.upsample_latent1', at_full[2]),
        _upsample(state, 'encoder.upsample0', at_full[0]),
        _upsample(state, 'encoder.upsample1', at_half[0]),
        _conv(state, 'encoder.fuse_lowres', torch.cat([one, other], dim=1)),
    ]


def _mosaic(state: dict[str, Tensor], sizes: Sizes, image: Tensor, n: int) -> list[Tensor]:
    """Last tokens and both latents, each token from the window whose middle is nearest."""
    side = image.shape[-1] // 16
    apart = (image.shape[-1] - sizes.window_px) // (n - 1)
    mosaics = [torch.zeros(1, sizes.embedded, side, side) for _ in range(3)]
    nearest = [
        min(range(n), key=lambda i, t=t: abs(16 * t + 8 - i * apart - sizes.window_px / 2))
        for t in range(side)
    ]
    for j in range(n):
        for i in range(n):
            y, x = j * apart, i * apart
            window = image[:, :, y : y + sizes.window_px, x : x + sizes.window_px]
            seen = _vit(state, 'encoder.patch_encoder', sizes, window)
            for mosaic, tokens in zip(mosaics, seen):
                answer = _map(tokens[:, 1:])
                for v in range(side):
                    for u in range(side):
                        if (nearest[v], nearest[u]) == (j, i):
                            mosaic[..., v, u] = answer[..., v - y // 16, u - x // 16]
    return mosaics


def _vit(state: dict[str, Tensor], vit: str, sizes: Sizes, image: Tensor) -> list[Tensor]:
    """Last tokens, normed, and both latents."""
    x = _conv(state, f'{vit}.patch_embed.proj', image, stride=16).flatten(2).transpose(1, 2)
    x = torch.cat([state[f'{vit}.cls_token'].repeat(len(x), 1, 1), x], dim=1)
    x = x + state[f'{vit}.pos_embed']
    latents = []
    for i in range(sizes.blocks):
        block = f'{vit}.blocks.{i}'
        change = _attention(state, f'{block}.attn', sizes.heads, _norm(state, f'{block}.norm1', x))
        x = x + change * (state[f'{block}.ls1.gamma'] if sizes.layer_scale else 1.0)
        y = _linear(state, f'{block}.mlp.fc1', _norm(state, f'{block}.norm2', x))
        change = _linear(state, f'{block}.mlp.fc2', functional.gelu(y))
        x = x + change * (state[f'{block}.ls2.gamma'] if sizes.layer_scale else 1.0)
        if i in sizes.latent_blocks:
            latents.append(x)
    return [_norm(state, f'{vit}.norm', x), *latents]


def _attention(state: dict[str, Tensor], name: str, heads: int, x: Tensor) -> Tensor:
    query, key, value = (
        part.unflatten(2, (heads, -1)).transpose(1, 2)
        for part in _linear(state, f'{name}.qkv', x).chunk(3, dim=2)
    )
    weights = (query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(dim=-1)
    return _linear(state, f'{name}.proj', (weights @ value).transpose(1, 2).flatten(2))


def _vit_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    width, hidden = sizes.embedded, sizes.hidden
    of: dict[str, tuple[int, ...]] = {
        'cls_token': (1, 1, width), 'pos_embed': (1, 1 + sizes.tokens**2, width),
    }  # fmt: skip
    of |= _biased('patch_embed.proj', (width, 3, 16, 16), width)
    for i in range(sizes.blocks):
        block = f'blocks.{i}'
        of |= _biased(f'{block}.norm1', (width,), width)
        of |= _biased(f'{block}.attn.qkv', (3 * width, width), 3 * width)
        of |= _biased(f'{block}.attn.proj', (width, width), width)
        of |= _biased(f'{block}.norm2', (width,), width)
        of |= _biased(f'{block}.mlp.fc1', (hidden, width), hidden)
        of |= _biased(f'{block}.mlp.fc2', (width, hidden), width)
        if sizes.layer_scale:
            of |= {f'{block}.ls1.gamma': (width,), f'{block}.ls2.gamma': (width,)}
    return of | _biased('norm', (width,), width)


def _biased(name: str, weight: tuple[int, ...], bias: int) -> dict[str, tuple[int, ...]]:
    return {f'{name}.weight': weight, f'{name}.bias': (bias,)}


def _residual_unit(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    y = _conv(state, f'{name}.residual.1', x.relu(), padding=1)
    return x + _conv(state, f'{name}.residual.3', y.relu(), padding=1)


def _upsample(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    x = functional.conv2d(x, state[f'{name}.0.weight'])
    i = 1
    while f'{name}.{i}.weight' in state:
        x = functional.conv_transpose2d(x, state[f'{name}.{i}.weight'], stride=2)
        i += 1
    return x


def _conv(
    state: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, padding: int = 0
) -> Tensor:
    weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
    return functional.conv2d(x, weight, bias, stride, padding)


def _deconv(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
    return functional.conv_transpose2d(x, weight, bias, stride=2)


def _linear(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return functional.linear(x, state[f'{name}.weight'], state[f'{name}.bias'])


def _norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight, bias = state[f'{name}.weight'], state[f'{name}.bias']
    return functional.layer_norm(x, weight.shape, weight, bias, 1e-6)


def _map(tokens: Tensor) -> Tensor:
    side = math.isqrt(tokens.shape[1])
    return tokens.reshape(len(tokens), side, side, -1).permute(0, 3, 1, 2)


def _shrunk(image: Tensor, factor: int) -> Tensor:
    """Bilinear without antialiasing: the mean of the middle four pixels of each square."""
    near, far = factor // 2 - 1, factor // 2
    rows = image[:, :, near::factor] + image[:, :, far::factor]
    return (rows[..., near::factor] + rows[..., far::factor]) / 4
