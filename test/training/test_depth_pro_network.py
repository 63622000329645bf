"""Depth Pro's network: published names and sizes, and a second implementation's answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import depth_pro_reference as reference
import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from depth_ros.errors import ConfigError, ModelError
from training.networks.canonical import (
    canonical_to_depth,
    depth_to_canonical,
    focal_of_fov,
    fov_of_focal,
)
from training.networks.depth_pro import DepthPro, DepthProConfig
from training.networks.depth_pro_vit import fit_vit_weights, make_vit
from training.networks.depth_pro_windows import WindowGrid

TINY = DepthProConfig(
    'test_vit', window_px=64, windows=(4, 3), latent_blocks=(1, 3), widths=(12, 20, 24), width=16
)
SIZES = reference.Sizes(
    embedded=64, blocks=6, heads=2, hidden=192, layer_scale=False, window_px=64, per_side=(4, 3),
    latent_blocks=(1, 3), widths=(12, 20, 24), width=16,
)  # fmt: skip
OVERLAPPING = replace(TINY, window_px=128, windows=(5, 3))
GRIDS = [(5, 384, 4), (3, 384, 2), (1, 384, 1), (5, 128, 4), (7, 64, 4), (4, 96, 4), (2, 48, 2)]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def filled(config: DepthProConfig = TINY, sizes: reference.Sizes = SIZES) -> DepthPro:
    """A network of the reference's random weights."""
    net = DepthPro(config).eval()
    net.load_state_dict(reference.random_state(replace(sizes, fov=config.fov_head)))
    return net


@pytest.fixture(scope='module')
def published() -> DepthPro:
    with torch.device('meta'):
        return DepthPro(DepthProConfig())


def test_published_names_shapes_and_counts(published: DepthPro) -> None:
    state = published.state_dict()
    assert len(state) == 1119
    assert {key: tuple(value.shape) for key, value in state.items()} == reference.shapes(
        reference.Sizes()
    )
    assert count(published) == 951_991_330
    assert count(published.encoder) == 627_666_944
    assert count(published.encoder.patch_encoder) == 303_739_904
    assert count(published.decoder) == 19_667_200
    assert count(published.head) == 397_633
    assert published.fov is not None
    assert count(published.fov) == 304_259_553
    # A network read from a file has nothing but what is in the file.
    assert list(published.buffers()) == []


def test_published_sizes(published: DepthPro) -> None:
    image = torch.empty(2, 3, 1536, 1536, device='meta')
    features = published.encoder(image)
    assert [tuple(feature.shape) for feature in features] == [
        (2, 256, 768, 768), (2, 256, 384, 384), (2, 512, 192, 192), (2, 1024, 96, 96),
        (2, 1024, 48, 48),
    ]  # fmt: skip
    decoded, coarsest = published.decoder(features)
    assert decoded.shape == (2, 256, 768, 768)
    assert coarsest.shape == (2, 256, 48, 48)
    canonical, fov_deg = published(image)
    assert canonical.shape == (2, 1, 1536, 1536)
    assert fov_deg.shape == (2,)


def test_attention_is_fused(published: DepthPro) -> None:
    assert published.fov is not None
    vits = published.encoder.patch_encoder, published.encoder.image_encoder, published.fov.encoder
    fused = [m.fused_attn for vit in vits for m in vit.modules() if hasattr(m, 'fused_attn')]
    assert fused == [True] * 72


@pytest.mark.parametrize(('per_side', 'window_px', 'scale'), GRIDS)
def test_windows_are_row_by_row_and_all_images_of_one_together(
    per_side: int, window_px: int, scale: int
) -> None:
    grid = WindowGrid(per_side, window_px, scale)
    side = scale * window_px
    image = torch.arange(2 * side * side, dtype=torch.float32).reshape(2, 1, side, side)
    windows = grid.split(image).flatten(0, 1)
    assert len(windows) == 2 * per_side**2
    place = 0
    for j in range(per_side):
        for i in range(per_side):
            y, x = (k * (side - window_px) // max(per_side - 1, 1) for k in (j, i))
            for b in range(2):
                expected = image[b, :, y : y + window_px, x : x + window_px]
                assert torch.equal(windows[place], expected)
                place += 1


@pytest.mark.parametrize(('per_side', 'window_px', 'scale'), GRIDS)
def test_merging_undoes_splitting(per_side: int, window_px: int, scale: int) -> None:
    grid = WindowGrid(per_side, window_px, scale)
    image = random(2, 3, scale * window_px, scale * window_px)
    maps = functional.avg_pool2d(grid.split(image).flatten(0, 1), 16).unflatten(0, (-1, 2))
    assert torch.equal(grid.merge(maps), functional.avg_pool2d(image, 16))


@pytest.mark.parametrize(
    ('grid', 'shares'),
    [(WindowGrid(5, 384, 4), [21, 18, 18, 18, 21]), (WindowGrid(3, 384, 2), [18, 12, 18])],
)
def test_neighbours_share_what_both_see(grid: WindowGrid, shares: list[int]) -> None:
    numbers = torch.arange(grid.count).reshape(-1, 1, 1, 1, 1).expand(-1, 1, 1, 24, 24)
    merged = grid.merge(numbers)[0, 0]
    owners = torch.repeat_interleave(torch.arange(grid.per_side), torch.tensor(shares))
    assert torch.equal(merged, owners[:, None] * grid.per_side + owners)


@pytest.mark.parametrize('fov_head', [True, False])
def test_answers_equal_a_second_implementation(fov_head: bool) -> None:
    sizes = replace(SIZES, fov=fov_head)
    net = filled(replace(TINY, fov_head=fov_head))
    image = random(2, 3, 256, 256)
    with torch.no_grad():
        features = net.encoder(2 * image - 1)
        canonical, fov_deg = net(image)
        state = net.state_dict()
        for ours, theirs in zip(features, reference.encoded(state, sizes, 2 * image - 1)):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
        expected = reference.answers(state, sizes, image)
    assert float(canonical.std()) > 0.01
    torch.testing.assert_close(canonical, expected[0], rtol=1e-4, atol=1e-4)
    assert (fov_deg is not None) == fov_head
    if fov_deg is not None:
        assert float(fov_deg[0]) != float(fov_deg[1])
        torch.testing.assert_close(fov_deg, expected[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    'config', [OVERLAPPING, replace(TINY, window_px=96, windows=(4, 2)),
               replace(TINY, vit='vit_tiny_patch16_224', latent_blocks=(2, 5))],
)  # fmt: skip
def test_small_networks_answer_at_the_size_of_the_image(config: DepthProConfig) -> None:
    net = DepthPro(config).eval()
    side = config.image_px
    with torch.no_grad():
        canonical, fov_deg = net(random(1, 3, side, side))
    assert canonical.shape == (1, 1, side, side)
    assert float(canonical.min()) >= 0
    assert fov_deg is not None
    assert fov_deg.shape == (1,)


@pytest.mark.parametrize('overlapping', [False, True])
def test_the_field_of_view_alone_is_that_of_forward(overlapping: bool) -> None:
    net = filled()
    if overlapping:
        net = filled(OVERLAPPING, replace(SIZES, window_px=128, per_side=(5, 3)))
    image = random(2, 3, net.config.image_px, net.config.image_px)
    seen: list[int] = []
    with torch.no_grad():
        expected = net(image)[1]
        net.encoder.patch_encoder.patch_embed.register_forward_hook(
            lambda _module, _inputs, out: seen.append(len(out))
        )
        found = net.field_of_view(image)
    assert expected is not None
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    # One window of each image.
    assert seen == [2]
    with pytest.raises(ConfigError, match='need'):
        net.field_of_view(image[..., :-1])


def test_images_of_a_batch_do_not_mix() -> None:
    net = filled()
    images = random(3, 3, 256, 256)
    with torch.no_grad():
        together = net(images)
        alone = [net(images[i : i + 1]) for i in range(3)]
    for k in (0, 1):
        torch.testing.assert_close(
            together[k], torch.cat([one[k] for one in alone]), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(
    ('part', 'changed'),
    [
        ('patch_encoder.blocks.0', [True, True, True, True, True]),
        ('patch_encoder.blocks.2', [False, True, True, True, True]),
        ('patch_encoder.blocks.4', [False, False, True, True, True]),
        ('patch_encoder.norm', [False, False, True, True, True]),
        ('image_encoder', [False, False, False, False, True]),
    ],
)
def test_finest_features_come_from_within_the_vit(part: str, changed: list[bool]) -> None:
    net = filled()
    image = random(1, 3, 256, 256)
    with torch.no_grad():
        before = net.encoder(image)
        for parameter in net.encoder.get_submodule(part).parameters():
            parameter.mul_(1.5)
        after = net.encoder(image)
    assert [not torch.equal(a, b) for a, b in zip(before, after)] == changed


def grads_of(net: DepthPro, answer: Callable[[DepthPro], Tensor]) -> set[str]:
    net.zero_grad()
    answer(net).sum().backward()
    return {
        name for name, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }


def test_field_of_view_trains_its_own_weights_alone() -> None:
    net = filled().train()
    image = random(2, 3, 256, 256)
    every = {name for name, _ in net.named_parameters()}
    own = {name for name in every if name.startswith('fov.')}
    unused = {name for name in every if name.startswith('decoder.fusions.4.resnet1.')}
    assert grads_of(net, lambda n: n(image)[1]) == own
    assert grads_of(net, lambda n: n(image)[0]) == every - own - unused


def test_canonical_inverse_depth_starts_at_zero_bias_and_is_never_negative() -> None:
    torch.manual_seed(0)
    net = DepthPro(TINY).eval()
    assert float(net.head[4].bias.detach()) == 0
    nn.init.normal_(net.head[4].weight, std=10.0)
    with torch.no_grad():
        canonical, _ = net(random(1, 3, 256, 256))
    assert float(canonical.min()) == 0
    depth = canonical_to_depth(canonical, 200.0, 256)
    assert torch.isfinite(depth).all()
    assert 1e-4 <= float(depth.min()) <= float(depth.max()) <= 1e4 * (1 + 1e-6)


def test_depth_is_proportional_to_the_focal_length() -> None:
    canonical = 0.1 + random(2, 1, 4, 6)
    depth = canonical_to_depth(canonical, torch.tensor([300.0, 400.0]), 640)
    torch.testing.assert_close(
        canonical_to_depth(canonical, torch.tensor([600.0, 800.0]), 640), 2 * depth
    )
    # A resized image has its focal length resized with it.
    torch.testing.assert_close(
        canonical_to_depth(canonical, torch.tensor([600.0, 800.0]), 1280), depth
    )
    expected = 400.0 / (640 * canonical[1])
    torch.testing.assert_close(depth[1], expected)
    torch.testing.assert_close(canonical_to_depth(canonical, 400.0, 640)[1], expected)
    widths = torch.tensor([640.0, 320.0])
    torch.testing.assert_close(canonical_to_depth(canonical, 400.0, widths)[1], 2 * expected)


def test_depth_and_canonical_inverse_depth_are_inverse() -> None:
    depth = 0.5 + 50 * random(2, 1, 4, 6)
    focal = torch.tensor([500.0, 900.0])
    canonical = depth_to_canonical(depth, focal, 1242)
    torch.testing.assert_close(canonical_to_depth(canonical, focal, 1242), depth)
    torch.testing.assert_close(canonical[1], 900.0 / (1242 * depth[1]))


@pytest.mark.parametrize(('canonical', 'depth'), [(0.0, 1e4), (1e-9, 1e4), (1e9, 1e-4)])
def test_depth_is_kept_within_bounds(canonical: float, depth: float) -> None:
    found = canonical_to_depth(torch.full((1, 1, 2, 2), canonical), 500.0, 500)
    torch.testing.assert_close(found, torch.full((1, 1, 2, 2), depth))


def test_focal_lengths_of_known_fields_of_view() -> None:
    fov_deg = torch.tensor([90.0, 53.130102])
    torch.testing.assert_close(focal_of_fov(fov_deg, 640), torch.tensor([320.0, 640.0]))
    torch.testing.assert_close(fov_of_focal(focal_of_fov(fov_deg, 640), 640), fov_deg)
    wild = focal_of_fov(torch.tensor([-20.0, 0.0, 180.0, 400.0]), 640)
    bounds = focal_of_fov(torch.tensor([1.0, 1.0, 179.0, 179.0]), 640)
    assert torch.equal(wild, bounds)
    assert float(bounds.min()) > 0


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'window_px': 100}, 'window_px is 100; need a multiple of 128 for 5 and 3 windows'),
        ({'window_px': 96}, 'window_px is 96; need a multiple of 128'),
        ({'window_px': 0}, 'window_px is 0; need a multiple of 128'),
        ({'window_px': 40, 'windows': (4, 2)}, 'window_px is 40; need a multiple of 16 for 4'),
        ({'window_px': 48, 'windows': (4, 3)}, 'window_px is 48; need a multiple of 64 for 4'),
        ({'windows': (3, 3)}, r'windows is \(3, 3\); need 4 or more a side'),
        ({'windows': (5, 1)}, r'windows is \(5, 1\); need .* 2 or more at half'),
        ({'latent_blocks': (5, 5)}, r'latent_blocks is \(5, 5\); need two, ascending'),
        ({'latent_blocks': (-1, 5)}, r'latent_blocks is \(-1, 5\); need two, ascending'),
        ({'widths': (512, 0, 1024)}, r'widths is \(512, 0, 1024\); need 3 positive'),
        ({'width': 20}, 'width is 20; need a multiple of 8'),
    ],
)
def test_refuses_what_cannot_be_built(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DepthProConfig(**changes)


@pytest.mark.parametrize(
    ('vit', 'message'),
    [
        ('vit_of_mine', "vit 'vit_of_mine' is not known to timm"),
        ('resnet18', "vit 'resnet18' cannot be made for Depth Pro"),
        ('test_vit2', "vit 'test_vit2' does not suit Depth Pro; need a plain one"),
        ('vit_small_patch14_reg4_dinov2', 'does not suit Depth Pro'),
        ('eva02_tiny_patch14_224', 'does not suit Depth Pro'),
    ],
)
def test_refuses_other_vits(vit: str, message: str) -> None:
    with torch.device('meta'), pytest.raises(ConfigError, match=message):
        make_vit(vit, 64)


def test_refuses_missing_blocks_and_other_sizes() -> None:
    with pytest.raises(ConfigError, match=r'latent_blocks is \(1, 6\); test_vit has .* 0 to 5'):
        DepthPro(replace(TINY, latent_blocks=(1, 6)))
    with pytest.raises(ConfigError, match='the image has 320 x 256 pixels; need 256 x 256'):
        DepthPro(TINY)(torch.zeros(1, 3, 256, 320))


@pytest.mark.slow
def test_onnx_runtime_answers_as_torch_for_any_batch() -> None:
    net = filled(OVERLAPPING, replace(SIZES, window_px=128, per_side=(5, 3)))
    batch = torch.export.Dim('N', min=1, max=64)
    program = torch.onnx.export(
        net, (torch.zeros(2, 3, 512, 512),), input_names=['image'],
        output_names=['canonical', 'fov_deg'], dynamic_shapes=({0: batch},), opset_version=18,
        dynamo=True, verbose=False,
    )  # fmt: skip
    assert program is not None
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=['CPUExecutionProvider']
    )
    for size in (1, 3):
        image = random(size, 3, 512, 512, seed=size)
        with torch.no_grad():
            canonical, fov_deg = net(image)
        found = session.run(None, {'image': image.numpy()})
        np.testing.assert_allclose(found[0], canonical.numpy(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found[1], fov_deg.numpy(), rtol=1e-4, atol=1e-4)
        assert float(canonical.std()) > 0.01


def dinov2_state(patch: int = 14, side: int = 37) -> dict[str, Tensor]:
    vit = make_vit('vit_small_patch14_dinov2', 64)
    state = vit.state_dict() | {'mask_token': torch.zeros(1, 384)}
    state['patch_embed.proj.weight'] = random(384, 3, patch, patch)
    state['pos_embed'] = random(1, 1 + side * side, 384)
    return state


def test_initial_weights_fit_other_patches_and_images() -> None:
    state = dinov2_state()
    fitted = fit_vit_weights(state, 384)
    assert fitted['patch_embed.proj.weight'].shape == (384, 3, 16, 16)
    assert fitted['pos_embed'].shape == (1, 577, 384)
    assert torch.equal(fitted['pos_embed'][:, 0], state['pos_embed'][:, 0])
    assert 'mask_token' not in fitted
    assert state['patch_embed.proj.weight'].shape == (384, 3, 14, 14)
    make_vit('vit_small_patch14_dinov2', 384).load_state_dict(fitted, strict=True)
    again = fit_vit_weights(fitted, 384)
    assert all(torch.equal(again[key], fitted[key]) for key in fitted)


def test_even_images_and_positions_stay_what_they_are() -> None:
    state = dinov2_state()
    colours = random(384, 3)
    state['patch_embed.proj.weight'] = colours[:, :, None, None].expand(-1, -1, 14, 14)
    state['pos_embed'] = torch.full((1, 1370, 384), 0.5)
    fitted = fit_vit_weights(state, 128)
    before = functional.conv2d(torch.ones(1, 3, 14, 14), state['patch_embed.proj.weight'])
    after = functional.conv2d(torch.ones(1, 3, 16, 16), fitted['patch_embed.proj.weight'])
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fitted['pos_embed'], torch.full((1, 65, 384), 0.5))


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('pos_embed', None, 'initial weights of a ViT lack pos_embed'),
        ('pos_embed', torch.zeros(1, 1369, 8), r'pos_embed is \(1, 1369, 8\); need 1 \+ n \* n'),
        ('pos_embed', torch.zeros(1370, 8), r'pos_embed is \(1370, 8\); need 3 axes'),
        ('patch_embed.proj.weight', torch.zeros(8, 3, 14, 16),
         r'is \(8, 3, 14, 16\); need square patches'),
    ],
)  # fmt: skip
def test_refuses_other_initial_weights(key: str, value: Tensor | None, message: str) -> None:
    state = {
        'pos_embed': torch.zeros(1, 1370, 8), 'patch_embed.proj.weight': torch.zeros(8, 3, 14, 14),
    }  # fmt: skip
    if value is None:
        del state[key]
    else:
        state[key] = value
    with pytest.raises(ModelError, match=message):
        fit_vit_weights(state, 384)
