"""A model becomes one whose depth is combined from crops, fitted on a bag with true depth."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch

from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import BagError, ConfigError
from depth_ros.model_folder.model import (
    DEPTH_FILE,
    POSE_FILE,
    SAMPLES_FILE,
    Model,
    write_checksums,
)
from depth_ros.model_folder.spec import METADATA_KEY, ModelSpec, ScaleKind
from training.config import BagSource
from training.data.cache import default_cache_root, open_cache
from training.export.model_folder import replacing_folder
from training.export.onnx_files import refuse_large, save_graph
from training.export.parity import check_parity
from training.fusion.combination import CombinationWeights
from training.fusion.corner_crops import PAPER_RATIOS, Candidates, CropSizes, check_ratios
from training.fusion.cropped_network import (
    LEAST_KNOWN,
    CroppedNetwork,
    as_bytes,
    cache_settings,
    known_frames,
)
from training.fusion.filling import fill_unknown
from training.fusion.fit import CombinationFit
from training.fusion.graph import Stage, wrap_graph
from training.fusion.shrinkage import Shrinkage
from training.fusion.stages import CombineStage, CropIntrinsics, CropStage, ShrinkStage
from training.progress import Progress
from training.samples import render_samples

FUSION_FILE = 'fusion.npz'
"""The fitted weights, beside the graphs."""
_NAMED_BAGS = 4
_LEAST_RMSE = 0.01
"""Of a frame, in metres: better ones count no more."""
_REFERENCE = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU)


class FrameWeight(enum.Enum):
    """How much a frame's squared errors count.

    RMSE: as the inverse of the error of depth without any combination, a step of reweighting
    towards the least mean RMSE rather than its square: few frames that are far off do not rule.
    EQUAL: all the same, as in the paper.
    """

    RMSE = 'rmse'
    EQUAL = 'equal'


@dataclass(frozen=True)
class FusionSettings:
    """How depth is combined.

    Attributes:
        ratios: of the crops' sides to the image's, 1 first; each costs four crops.
        mirrored: ask mirrored crops too, at twice the cost.
        image: (width, height) of the picture that is cropped; None: the network's input divided
            by the smallest ratio, so that the smallest crops are not enlarged.
        grid: (width, height) of the combined depth; None: that of the network's answer.
        max_bins: so many of the lowest frequencies are fitted; None: all.
        frame_weight: how much each frame counts.
        ridge, bias: how far the fit is drawn, see Shrinkage; None: chosen by cross-validation.
    """

    ratios: tuple[float, ...] = PAPER_RATIOS
    mirrored: bool = True
    image: tuple[int, int] | None = None
    grid: tuple[int, int] | None = None
    max_bins: int | None = None
    frame_weight: FrameWeight = FrameWeight.RMSE
    ridge: float | None = None
    bias: float | None = None

    def __post_init__(self) -> None:
        check_ratios(self.ratios)
        Shrinkage(self.ridge or 0.0, self.bias or 0.0)
        if self.max_bins is not None and self.max_bins < 0:
            raise ConfigError(f'max_bins {self.max_bins} must not be below 0')

    def sizes(self, spec: ModelSpec) -> CropSizes:
        """Rows and columns on the way from the image to the candidates of a model."""
        shrink = self.ratios[-1]
        width, height = self.image or (
            math.ceil(spec.width / shrink), math.ceil(spec.height / shrink)
        )  # fmt: skip
        columns, rows = self.grid or (spec.depth_width, spec.depth_height)
        return CropSizes(
            image=(height, width),
            network=(spec.height, spec.width),
            answer=(spec.depth_height, spec.depth_width),
            grid=(rows, columns),
        )


@dataclass(frozen=True)
class FusionReport:
    """What was fitted, and how far each candidate and the combination are from the truth.

    Attributes:
        path: the model folder.
        images: fitted on.
        crops: that the network sees of one image.
        shrinkage: how far the fit was drawn.
        candidate_rmse_m: of each candidate on the images fitted on, weighted as these, in their
            order.
        combined_rmse_m: of the combination on the same, never above the least of these where all
            frequencies are fitted.
    """

    path: Path
    images: int
    crops: int
    shrinkage: Shrinkage
    candidate_rmse_m: tuple[float, ...]
    combined_rmse_m: float

    def summary(self) -> str:
        """A few lines for people."""
        best, worst = min(self.candidate_rmse_m), max(self.candidate_rmse_m)
        return (
            f'{self.path}: {len(self.candidate_rmse_m)} candidates of {self.crops} crops, fitted '
            f'on {self.images} frames, ridge {self.shrinkage.ridge:g}, '
            f'bias {self.shrinkage.bias:g}\n'
            f'RMSE on these, weighted: candidates {best:.3f} to {worst:.3f} m, combined '
            f'{self.combined_rmse_m:.3f} m; judge it on others by depth_ros evaluate'
        )


def fit_fusion(
    model: Model,
    sources: tuple[BagSource, ...],
    rectify: RectifyMode,
    settings: FusionSettings,
    out_folder: Path,
    progress: Progress,
) -> FusionReport:
    """Writes the model folder `out_folder`, replacing an earlier model there.

    The network should not have been trained on the frames that the combination is fitted on:
    there its candidates are better than they will be.

    Raises:
        BagError: no frame with true depth.
        ConfigError: the model is not metric, or impossible settings.
        ModelError: a graph is above 2 GB, cannot be wrapped, or differs from its parts.
        CameraError, DepthRosError: as open_cache.
    """
    spec = model.spec
    if spec.scale is not ScaleKind.METRIC:
        raise ConfigError(
            f'model {spec.name!r} is up to scale; candidates are combined in metres: train it '
            'with odometry, a stereo pair or true depth'
        )
    for path in (model.depth_path, model.pose_path):
        if path is not None:
            refuse_large(path, 'fit-fusion')
    candidates = Candidates(settings.ratios, settings.mirrored, settings.sizes(spec))
    outer = combined_spec(spec, candidates, out_folder.resolve().name, sources)
    fit = CombinationFit(candidates)
    with closing(open_backend(model.depth_path, _REFERENCE)) as backend:
        network = CroppedNetwork(backend, candidates)
        add_bags(fit, sources, outer, network, rectify, settings.frame_weight, progress)
        shrinkage = fit.shrinkage(settings.max_bins, settings.ridge, settings.bias)
        weights = fit.weights(settings.max_bins, shrinkage)
        samples = _depth_samples(outer, network, weights)
    samples |= _motion_samples(model, outer, candidates.sizes)
    with replacing_folder(out_folder) as folder:
        _write_graphs(model, outer, candidates, weights, folder)
        np.savez_compressed(folder / SAMPLES_FILE, **samples)
        weights.save(folder / FUSION_FILE)
        write_checksums(folder)
        check_parity(Model.load(folder))
    return FusionReport(
        out_folder, fit.images, candidates.crop_count, shrinkage, fit.candidate_rmse_m(),
        fit.rmse_m(weights),
    )  # fmt: skip


def add_bags(
    fit: CombinationFit, sources: Sequence[BagSource], outer: ModelSpec, network: CroppedNetwork,
    rectify: RectifyMode, weight: FrameWeight, progress: Progress,
) -> None:  # fmt: skip
    """Take in all frames with true depth.

    Raises:
        BagError: there is none.
        DepthRosError: as open_cache.
    """
    for number, source in enumerate(sources):
        frames = cache_settings(source, outer, rectify)
        cache = open_cache(frames, default_cache_root(), progress)
        for frame in known_frames(cache, outer, network):
            truth = fill_unknown(frame.truth)
            # Bags are places of their own, and none is cut.
            place = number / len(sources) if len(sources) > 1 else frame.place
            fit.add(frame.candidates, truth, place, _weight(weight, frame.candidates[0], truth))
        progress(f'{source.path}: {fit.images} frames with true depth so far')
    if fit.images == 0:
        names = ', '.join(str(source.path) for source in sources)
        raise BagError(f'{names}: no frame has true depth in {LEAST_KNOWN:.0%} of its pixels')


def _weight(kind: FrameWeight, depth: np.ndarray, truth: np.ndarray) -> float:
    if kind is FrameWeight.EQUAL:
        return 1.0
    return 1.0 / max(float(np.sqrt(((depth - truth) ** 2).mean())), _LEAST_RMSE)


def combined_spec(
    spec: ModelSpec, candidates: Candidates, name: str, sources: tuple[BagSource, ...]
) -> ModelSpec:
    """What a model becomes by combining candidates fitted on these bags."""
    (height, width), (rows, columns) = candidates.sizes.image, candidates.sizes.grid
    bags = ', '.join(source.path.stem for source in sources[:_NAMED_BAGS])
    more = '' if len(sources) <= _NAMED_BAGS else f' and {len(sources) - _NAMED_BAGS} more'
    return replace(
        spec,
        name=name,
        family=f'{spec.family}, combined in the Fourier domain',
        width=width,
        height=height,
        depth_width=columns,
        depth_height=rows,
        intrinsics=None if spec.intrinsics is None else spec.intrinsics.scaled(width, height),
        training_run=f'{spec.training_run}; {len(candidates)} candidates combined on {bags}{more}',
    )


def _depth_samples(
    outer: ModelSpec, network: CroppedNetwork, weights: CombinationWeights
) -> dict[str, np.ndarray]:
    """Rendered pictures with what crops, network and combination answer one after the other."""
    camera = outer.intrinsics or _plain_camera(outer.width, outer.height)
    images = render_samples(camera).image
    given = np.array([(camera.fx, camera.fy, camera.cx, camera.cy)] * len(images), np.float32)
    combine = CombineStage(network.all_candidates, weights, outer.min_depth, outer.max_depth)
    depths = []
    for image, row in zip(images, given):
        depths.append(combine(network.crop_depths(image, row)).numpy()[0])
    samples = {'image': images, 'depth': np.stack(depths)}
    return samples | ({'intrinsics': given} if network.takes_intrinsics else {})


def _motion_samples(model: Model, outer: ModelSpec, sizes: CropSizes) -> dict[str, np.ndarray]:
    """Rendered pairs with what shrinking and the pose network answer one after the other."""
    if model.pose_path is None:
        return {}
    rendered = render_samples(outer.intrinsics or _plain_camera(outer.width, outer.height))
    pairs = {'previous': rendered.previous, 'current': rendered.current}
    shrink = ShrinkStage(sizes.image, sizes.network)
    small = {name: as_bytes(shrink(torch.from_numpy(images))) for name, images in pairs.items()}
    with closing(open_backend(model.pose_path, _REFERENCE)) as backend:
        return pairs | {'motion': backend.run(small)['motion'].copy()}


def _plain_camera(width: int, height: int) -> Intrinsics:
    return Intrinsics(0.8 * width, 0.8 * width, (width - 1) / 2, (height - 1) / 2, width, height)


def combined_graph(
    inner: onnx.ModelProto, outer: ModelSpec, candidates: Candidates, weights: CombinationWeights
) -> onnx.ModelProto:
    """Crops, a model's depth graph and the combination in one graph.

    Raises:
        ModelError: the graph cannot be wrapped.
    """
    before = {'image': Stage(CropStage(candidates), _example(outer))}
    if any(given.name == 'intrinsics' for given in inner.graph.input):
        before['intrinsics'] = Stage(CropIntrinsics(candidates), torch.ones(2, 4))
    combine = CombineStage(candidates, weights, outer.min_depth, outer.max_depth)
    crops = torch.ones(2 * candidates.crop_count, *candidates.sizes.answer)
    return wrap_graph(inner, before, Stage(combine, crops), 'depth')


def _example(outer: ModelSpec) -> torch.Tensor:
    return torch.zeros(2, outer.height, outer.width, 3, dtype=torch.uint8)


def _write_graphs(
    model: Model,
    outer: ModelSpec,
    candidates: Candidates,
    weights: CombinationWeights,
    folder: Path,
) -> None:
    fused = combined_graph(onnx.load(model.depth_path), outer, candidates, weights)
    onnx.helper.set_model_props(fused, {METADATA_KEY: outer.to_json()})
    save_graph(fused, folder / DEPTH_FILE)
    if model.pose_path is not None:
        sizes = candidates.sizes
        image = _example(outer)
        shrinks = {
            name: Stage(ShrinkStage(sizes.image, sizes.network), image.clone())
            for name in ('previous', 'current')
        }
        pose = wrap_graph(onnx.load(model.pose_path), shrinks, None, 'motion')
        save_graph(pose, folder / POSE_FILE)
