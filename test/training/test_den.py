"""The network of Fourier-domain depth: the paper's shapes, and its two stages."""

from __future__ import annotations

import dataclasses

import onnxruntime
import pytest
import torch

from depth_ros.errors import ConfigError
from training.export.graphs import DenGraph, module_to_onnx
from training.losses.depth_balanced import AnswerSpace, DepthBalancedLoss
from training.networks.backbones import PretrainedWeights
from training.networks.den import GRID, Den, DenConfig, DenStage, begin_second_stage

SMALL = DenConfig(backbone='resnet18', input_px=64)


@pytest.mark.parametrize(('side', 'values'), [(224, 36544), (228, 43136)])
def test_the_paper_s_network_sees_as_many_values(side: int, values: int) -> None:
    with torch.device('meta'):
        net = Den(DenConfig(input_px=side))
        assert net(torch.rand(2, 3, side, side)).shape == (2, *GRID)
    assert net.fc.in_features == values
    assert net.fc.out_features == 800


def test_the_paper_s_network_has_the_published_names_and_sizes() -> None:
    with torch.device('meta'):
        net = Den(DenConfig())
    state = net.state_dict()
    assert len(state) == 970
    assert sum(parameter.numel() for parameter in net.parameters()) == 88_992_608
    sides = {name: tuple(value.shape) for name, value in state.items() if '.conv1x3.' in name}
    assert {name: shape for name, shape in sides.items() if name.startswith('layer3')} == {
        f'layer3.{block}.conv1x3.weight': (8, 1024, 1, 3) for block in range(20, 36)
    }
    assert {name: shape for name, shape in sides.items() if name.startswith('layer4')} == {
        f'layer4.{block}.conv1x3.weight': (64, 2048, 1, 3) for block in range(3)
    }
    assert state['layer3.35.conv3x1.weight'].shape == (8, 8, 3, 1)
    assert state['layer4.0.conv3x1.weight'].shape == (64, 64, 3, 1)
    assert state['layer4.0.downsample.0.weight'].shape == (2048, 1024, 1, 1)


def test_without_what_sides_tell_it_is_the_plain_network() -> None:
    torch.manual_seed(0)
    plain = Den(dataclasses.replace(SMALL, stage=DenStage.PLAIN)).eval()
    whole = Den(SMALL).eval()
    begin_second_stage(whole, plain.state_dict())
    pooled = plain.fc.in_features
    with torch.no_grad():
        whole.fc.weight.zero_()
        whole.fc.weight[:, -pooled:] = plain.fc.weight
        whole.fc.bias.copy_(plain.fc.bias)
        images = torch.rand(2, 3, 64, 64)
        torch.testing.assert_close(whole(images), plain(images))


def test_sides_are_told_row_by_row_in_the_order_of_their_blocks() -> None:
    torch.manual_seed(0)
    net = Den(SMALL).eval()
    blocks = [net.layer3[1], net.layer4[0], net.layer4[1]]
    seen = []
    for block in blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        told = net._features(torch.rand(1, 3, 64, 64))
        expected = []
        for block, output in zip(blocks, seen):
            wide = torch.relu(block.conv1x3(output))
            expected += torch.relu(block.conv3x1(wide))[0].reshape(-1).tolist()
    expected += seen[-1][0].mean((1, 2)).tolist()
    torch.testing.assert_close(told[0], torch.tensor(expected))


def test_the_second_stage_begins_with_new_parameters_of_the_paper_s_size() -> None:
    torch.manual_seed(0)
    net = Den(SMALL)
    assert {name for name, _ in net.named_parameters() if 'conv1x3' in name} == {
        'layer3.1.conv1x3.weight', 'layer4.0.conv1x3.weight', 'layer4.1.conv1x3.weight'
    }  # fmt: skip
    values = torch.cat([parameter.detach().flatten() for parameter in net.new_parameters()])
    assert values.mean().abs() < 1e-4
    assert values.std() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize('space', AnswerSpace)
def test_its_graph_answers_metres(space: AnswerSpace) -> None:
    torch.manual_seed(0)
    net, loss = Den(SMALL).eval(), DepthBalancedLoss(space=space)
    graph = DenGraph(net, loss, 0.1, 10.0)
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        net.fc.bias += torch.linspace(0.0, 12.0, 800)
        expected = loss.depth_m(net(images.permute(0, 3, 1, 2) / 255)).clamp(0.1, 10.0)
        torch.testing.assert_close(graph(images), expected)
    model = module_to_onnx(graph, {'image': torch.zeros_like(images[:2])}, graph.outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {'image': images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-3)
    assert expected.std() > 1


@pytest.mark.slow
def test_the_paper_s_network_trains_a_step_and_exports() -> None:
    torch.manual_seed(0)
    net, loss = Den(DenConfig()), DepthBalancedLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    images, truth = torch.rand(2, 3, 224, 224), torch.linspace(1.0, 5.0, 800).reshape(1, *GRID)
    losses = []
    for _ in range(2):
        value = loss(net(images), truth.expand(2, -1, -1))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    assert losses[1] < losses[0]
    graph = DenGraph(net.eval(), loss, 0.1, 10.0)
    pictures = (255 * images).to(torch.uint8).permute(0, 2, 3, 1)
    model = module_to_onnx(graph, {'image': pictures}, graph.outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    (found,) = session.run(None, {'image': pictures[:1].numpy()})
    with torch.no_grad():
        expected = graph(pictures[:1])
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-3)


def test_another_network_is_no_first_stage() -> None:
    other = Den(DenConfig(backbone='resnet34', input_px=64, stage=DenStage.PLAIN))
    with pytest.raises(ConfigError, match='is of another network: layer1'):
        begin_second_stage(Den(SMALL), other.state_dict())


@pytest.mark.parametrize(('changes', 'message'), [
    ({'backbone': 'vgg16'}, "backbone 'vgg16' is none of timm's resnet"),
    ({'input_px': 32}, 'input_px is 32; need 64 or more'),
    ({'side_widths': (8, 0)}, r'side_widths is \(8, 0\)'),
    ({'pretrained': PretrainedWeights.LITE0_PACKAGE}, 'for EfficientNet-Lite0 alone'),
])  # fmt: skip
def test_impossible_networks_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Den(dataclasses.replace(SMALL, **changes))


def test_weights_that_cannot_be_had_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_weights(*_: object, **__: object) -> None:
        raise RuntimeError('No pretrained weights\nexist')

    monkeypatch.setattr('training.networks.den.timm.create_model', without_weights)
    with pytest.raises(ConfigError, match=r"'resnet18' with pretrained weights: No .* exist"):
        Den(dataclasses.replace(SMALL, pretrained=PretrainedWeights.TIMM))


@torch.no_grad()
def test_blocks_may_have_any_norm() -> None:
    net = Den(dataclasses.replace(SMALL, backbone='resnet50_gn')).eval()
    assert net(torch.rand(1, 3, 64, 64)).shape == (1, *GRID)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigError, match='the image has 96 x 64 pixels; need 64 x 64'):
        Den(SMALL)(torch.rand(1, 3, 64, 96))
