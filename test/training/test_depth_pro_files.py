"""Official Depth Pro files: every key and shape, and one clear line for what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import depth_pro_reference as reference
import pytest
import torch

from depth_ros.errors import ModelError
from training.networks.depth_pro import DepthPro, DepthProConfig
from training.official.depth_pro_files import (
    PUBLISHED,
    holds_fov_head,
    is_official_file,
    load_official_depth_pro,
    read_official_depth_pro,
)

TINY = DepthProConfig(
    'test_vit', window_px=32, windows=(4, 2), latent_blocks=(1, 3), widths=(12, 20, 24), width=16
)
SIZES = reference.Sizes(
    embedded=64, blocks=6, heads=2, hidden=192, layer_scale=False, window_px=32, per_side=(4, 2),
    latent_blocks=(1, 3), widths=(12, 20, 24), width=16,
)  # fmt: skip


def half_state(fov: bool = True) -> dict[str, torch.Tensor]:
    """What an official file holds: half precision."""
    state = reference.random_state(replace(SIZES, fov=fov))
    return {key: value.half() for key, value in state.items()}


@pytest.mark.parametrize('fov', [True, False])
def test_files_are_read_and_written_without_loss(tmp_path: Path, fov: bool) -> None:
    state = half_state(fov)
    torch.save(state, tmp_path / 'depth_pro.pt')
    net = read_official_depth_pro(tmp_path / 'depth_pro.pt', replace(TINY, fov_head=fov))
    found = net.state_dict()
    assert found.keys() == state.keys()
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert all(torch.equal(found[key], value.float()) for key, value in state.items())
    torch.save(found, tmp_path / 'again.pt')
    again = DepthPro(replace(TINY, fov_head=fov))
    load_official_depth_pro(tmp_path / 'again.pt', again)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), net.parameters()))


def test_answers_equal_a_second_implementation(tmp_path: Path) -> None:
    torch.save(half_state(), tmp_path / 'depth_pro.pt')
    net = read_official_depth_pro(tmp_path / 'depth_pro.pt', TINY).eval()
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        canonical, fov_deg = net(image)
        state = {key: value.float() for key, value in half_state().items()}
        expected = reference.answers(state, SIZES, image)
    torch.testing.assert_close(canonical, expected[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fov_deg, expected[1], rtol=1e-4, atol=1e-3)


def test_a_head_that_is_not_wanted_is_checked_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / 'depth_pro.pt'
    torch.save(half_state(), path)
    net = read_official_depth_pro(path, replace(TINY, fov_head=False))
    assert net.fov is None
    assert not any(name.startswith('fov.') for name in net.state_dict())
    state = half_state()
    del state['fov.head.2.bias']
    torch.save(state, path)
    with pytest.raises(ModelError, match=r'depth_pro\.pt lacks keys fov\.head\.2\.bias'):
        read_official_depth_pro(path, replace(TINY, fov_head=False))
    state['fov.head.2.bias'] = torch.zeros(3)
    torch.save(state, path)
    with pytest.raises(ModelError, match=r'fov\.head\.2\.bias is \(3,\); need \(2,\)'):
        read_official_depth_pro(path, replace(TINY, fov_head=False))


def test_a_head_that_is_wanted_must_be_there(tmp_path: Path) -> None:
    torch.save(half_state(fov=False), tmp_path / 'depth_pro.pt')
    with pytest.raises(ModelError, match=r'has no keys fov\.\*: it tells no field of view'):
        read_official_depth_pro(tmp_path / 'depth_pro.pt', TINY)


def drop(key: str) -> Callable[[dict], object]:
    return lambda state: state.pop(key)


def put(key: str, value: object) -> Callable[[dict], object]:
    return lambda state: state.update({key: value})


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (drop('encoder.fuse_lowres.bias'), r'lacks keys encoder\.fuse_lowres\.bias'),
        (drop('fov.encoder.0.norm.weight'), r'lacks keys fov\.encoder\.0\.norm\.weight'),
        (drop('decoder.fusions.4.resnet1.residual.1.bias'),
         r'lacks keys decoder\.fusions\.4\.resnet1\.residual\.1\.bias'),
        (put('decoder.fusions.0.deconv.weight', torch.zeros(16, 16, 2, 2)),
         r'has unknown keys decoder\.fusions\.0\.deconv\.weight'),
        (put('encoder.patch_encoder.blocks.0.ls1.gamma', torch.zeros(64)),
         r'has unknown keys encoder\.patch_encoder\.blocks\.0\.ls1\.gamma'),
        (put('head.4.weight', torch.zeros(2, 2, 1, 1)),
         r'head\.4\.weight is \(2, 2, 1, 1\); need \(1, 2, 1, 1\)'),
        (put('head.4.weight', 'lost'), r'head\.4\.weight is str; need \(1, 2, 1, 1\)'),
        (put('encoder.image_encoder.pos_embed', torch.zeros(1, 577, 64)),
         r'pos_embed is \(1, 577, 64\); need \(1, 5, 64\)'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    tmp_path: Path, change: Callable[[dict], object], message: str
) -> None:
    state: dict[str, object] = dict(half_state())
    change(state)
    torch.save(state, tmp_path / 'edited.pt')
    with pytest.raises(ModelError, match=message) as caught:
        read_official_depth_pro(tmp_path / 'edited.pt', TINY)
    assert 'edited.pt' in str(caught.value)


@pytest.mark.parametrize('damage', ['missing', 'truncated', 'text', 'list', 'nested', 'other'])
def test_damaged_and_other_files_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / 'file.pt'
    if damage == 'truncated':
        torch.save(half_state(), path)
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == 'text':
        path.write_text('<html>not found</html>')
    elif damage == 'list':
        torch.save([1], path)
    elif damage == 'nested':
        torch.save({'state_dict': half_state()}, path)
    elif damage == 'other':
        torch.save({'depth_pro.encoder.patch_encoder.weight': torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r'file\.pt') as caught:
        read_official_depth_pro(path, TINY)
    assert '\n' not in str(caught.value)


def test_files_are_told_by_their_keys() -> None:
    state = half_state()
    assert is_official_file(state)
    assert holds_fov_head(state)
    assert not holds_fov_head(half_state(fov=False))
    assert not is_official_file({'state_dict': state})
    assert len(reference.shapes(reference.Sizes())) == 1119
    assert DepthProConfig() == PUBLISHED
