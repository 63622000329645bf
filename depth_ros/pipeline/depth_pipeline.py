"""A model's networks, loaded, with the geometry of the cameras that they look through."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import numpy as np

from depth_ros.backends import (
    UNWATCHED,
    Backend,
    BackendOptions,
    CpuPrecision,
    Loading,
    open_backend,
)
from depth_ros.backends.mirrored import MirroredBackend
from depth_ros.backends.parity import (
    BF16_ACCEPTED,
    compare_with_training,
    depth_case,
    motion_case,
)
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import BackendError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ModelSpec
from depth_ros.pipeline.view import View

_MAX_VIEWS = 16
_ROUNDING = 0.01
"""By so much, relatively, the coarsest arithmetic may lift depth above the model's range."""
_FOCAL_UNKNOWN = 0.0
"""Instead of fx it asks a graph that tells the field of view for depth by that."""


@dataclass(frozen=True)
class Frame:
    """One rectified picture."""

    stamp_ns: int
    image: np.ndarray
    """uint8 [H,W,3] RGB."""
    intrinsics: Intrinsics
    """Of that picture."""
    frame_id: str = ''
    seen: np.ndarray | None = None
    """bool [H,W], the pixels that show what the camera saw, see Rectifier; there is depth of no
    others. None: all of them. Frames of one camera share one array."""


@dataclass(frozen=True)
class Question:
    """One frame for the networks, in their size."""

    pixels: np.ndarray
    """uint8 [1,height,width,3], by `View.to_network`."""
    view: View
    """Which made them."""
    previous: np.ndarray | None = None
    """uint8 [1,height,width,3], an earlier frame of the same view that the pose network is to
    compare it with; None: it is not asked."""


@dataclass(frozen=True)
class NetworkAnswer:
    """The depth network's answer to one frame."""

    depth: np.ndarray
    """float32 [h,w] over the whole network input in the model's unit, corrected for the camera's
    focal length; NaN where it is not positive, or beyond the model's range."""
    view: View
    """Where the camera's pixels lie in it."""
    fov_deg: float | None = None
    """The camera's horizontal field of view as the network sees it; None where it tells none."""


class DepthPipeline:
    """A model's networks, loaded."""

    def __init__(self, spec: ModelSpec, depth: Backend, pose: Backend | None) -> None:
        """Use networks that are loaded already; `open` loads those of a model folder."""
        self.spec = spec
        self._depth = depth
        self._pose = pose
        self._moving: list[Question] = []
        """Whose motion the pose network was asked for."""
        self._views: dict[Intrinsics, View] = {}
        self._takes_intrinsics = 'intrinsics' in depth.input_names
        self._farthest = np.float32(spec.max_depth * (1.0 + _ROUNDING))

    @classmethod
    def open(
        cls,
        model: Model,
        options: BackendOptions | None = None,
        *,
        blend_mirrored: bool = False,
        loading: Loading = UNWATCHED,
    ) -> DepthPipeline:
        """Load a model.

        Args:
            model: the folder.
            options: what to run it on.
            blend_mirrored: ask the depth network for the mirrored image too, at twice the cost.
            loading: is told what takes long, as building an engine does, and may cancel it.

        Raises:
            BackendError: the runtime is missing, has not the device, or refuses a graph.
            LoadingCancelledError: as `loading` wished.
        """
        options = options or BackendOptions()
        with ExitStack() as opened:
            depth = open_backend(model.depth_path, options, lambda: depth_case(model), loading)
            opened.callback(depth.close)
            if blend_mirrored:
                depth = MirroredBackend(depth)
            pose = None
            if model.pose_path is not None:
                pose = open_backend(model.pose_path, options, lambda: motion_case(model), loading)
            opened.pop_all()
        return cls(model.spec, depth, pose)

    @property
    def description(self) -> str:
        """What the networks really run on."""
        return self._depth.description

    @property
    def caveat(self) -> str:
        """Why the networks do not run on what would have been better; empty where they do."""
        backends = (self._depth, self._pose)
        caveats = (backend.caveat for backend in backends if backend is not None)
        return '; '.join(dict.fromkeys(filter(None, caveats)))

    @property
    def has_pose(self) -> bool:
        """Whether the model knows egomotion."""
        return self._pose is not None

    @property
    def tells_fov(self) -> bool:
        """Whether the model estimates the field of view of a camera that nobody calibrated."""
        tied = self.spec.intrinsics is not None
        return self._takes_intrinsics and not tied and 'fov_deg' in self._depth.output_names

    @property
    def max_batch(self) -> int:
        """Most frames that both networks compute at once."""
        backends = (self._depth, self._pose)
        return min(backend.max_batch for backend in backends if backend is not None)

    def view_of(self, intrinsics: Intrinsics) -> View:
        """The view that the networks have of a camera."""
        view = self._views.get(intrinsics)
        if view is None:
            spec = self.spec
            view = View.fit(intrinsics, spec.width, spec.height, spec.fit, spec.intrinsics)
            if len(self._views) >= _MAX_VIEWS:
                self._views.clear()
            self._views[intrinsics] = view
        return view

    def run(self, frames: Sequence[Frame]) -> list[NetworkAnswer]:
        """Depth of each frame by itself, computed as one batch.

        Raises:
            CameraError: an image is not of the size of its intrinsics.
            BackendError: the runtime failed.
        """
        views = [self.view_of(frame.intrinsics) for frame in frames]
        batch = np.empty((len(frames), self.spec.height, self.spec.width, 3), np.uint8)
        for frame, view, out in zip(frames, views, batch):
            view.to_network(frame.image, out, self.spec.resize_filter)
        depths, fovs_deg = self._look(batch, views)
        return [
            NetworkAnswer(depth, view, fov_deg=fov_deg)
            for depth, view, fov_deg in zip(depths, views, fovs_deg)
        ]

    def fov_deg(self, image: np.ndarray) -> float:
        """The horizontal field of view [degrees] of the camera that took an image.

        Args:
            image: uint8 [H,W,3] RGB of a camera with square pixels.

        Raises:
            BackendError: the model tells none (see tells_fov), or the runtime failed.
        """
        height, width = image.shape[:2]
        # The view of a model that is tied to no camera does not depend on the focal length.
        anyone = Intrinsics(width, width, (width - 1) / 2, (height - 1) / 2, width, height)
        view = View.fit(anyone, self.spec.width, self.spec.height, self.spec.fit)
        pixels = view.to_network(image, resize_filter=self.spec.resize_filter)
        (fov_deg,) = self._look(pixels[None], [view], focal_known=False)[1]
        if fov_deg is None:
            raise BackendError(f'model {self.spec.name!r} tells no field of view')
        return fov_deg

    def depth(self, images: np.ndarray, views: Sequence[View]) -> np.ndarray:
        """Run the depth network.

        Args:
            images: uint8 [N,height,width,3] of the network's size, by `View.to_network`.
            views: the N views that made them.

        Returns:
            float32 [N,h,w], see NetworkAnswer.depth; valid until the next but one call.

        Raises:
            BackendError: the runtime failed, or answered something else than the spec tells.
        """
        return self._look(images, views)[0]

    def _look(
        self, images: np.ndarray, views: Sequence[View], *, focal_known: bool = True
    ) -> tuple[np.ndarray, list[float | None]]:
        """See depth; and NetworkAnswer.fov_deg of each."""
        inputs = {'image': images}
        if self._takes_intrinsics:
            cameras = [view.network_intrinsics for view in views]
            inputs['intrinsics'] = np.array(
                [(k.fx if focal_known else _FOCAL_UNKNOWN, k.fy, k.cx, k.cy) for k in cameras],
                np.float32,
            )
        answer = self._depth.run(inputs)
        depth = answer['depth']
        expected = (len(images), self.spec.depth_height, self.spec.depth_width)
        if depth.shape != expected:
            raise BackendError(
                f'model {self.spec.name!r} answered depth of shape {depth.shape}, '
                f'its spec tells {expected}'
            )
        nearest, farthest = np.minimum.reduce(depth, None), np.maximum.reduce(depth, None)
        if not (nearest > 0 and farthest <= self._farthest):  # or some of it is NaN
            depth[~((depth > 0) & (depth <= self._farthest))] = np.nan
        factors = [view.focal_factor for view in views]
        if any(factor != 1.0 for factor in factors):
            depth *= np.array(factors, np.float32)[:, None, None]
        if 'fov_deg' not in answer:
            return depth, [None] * len(views)
        told = zip(views, answer['fov_deg'])
        return depth, [view.camera_fov_deg(float(fov_deg)) for view, fov_deg in told]

    def ask(self, questions: Sequence[Question]) -> list[NetworkAnswer]:
        """Run the depth network once on frames of any cameras.

        On a GPU the pose network runs at the same time; on a CPU it would only make depth late.

        Returns:
            The answers, in order; depth is valid until the next but one call.

        Raises:
            BackendError: the runtime failed, or a motion is asked for that no network knows.
        """
        pairs = _pairs(questions)
        if pairs and self._pose_network.computes_meanwhile:
            with suppress(BackendError):  # `motions` asks again, and tells
                self._begin_motion(pairs)
        pictures = _joined([question.pixels for question in questions])
        depths, fovs_deg = self._look(pictures, [question.view for question in questions])
        return [
            NetworkAnswer(depth, question.view, fov_deg)
            for question, depth, fov_deg in zip(questions, depths, fovs_deg)
        ]

    def motions(self, questions: Sequence[Question]) -> list[np.ndarray | None]:
        """What the pose network says to questions.

        Where the runtime computes meanwhile, it was begun when `ask` was given the same.

        Returns:
            For each question float64 [6], axis-angle [rad] and translation in the model's unit,
            previous_T_current, corrected for the camera's focal length; None where it names no
            earlier frame.

        Raises:
            BackendError: the runtime failed, or there is no pose network.
        """
        pairs = _pairs(questions)
        if not pairs:
            return [None] * len(questions)
        if [id(question) for question, _ in pairs] != [id(one) for one in self._moving]:
            self._begin_motion(pairs)
        self._moving = []
        motions = self._pose_network.wait()['motion'].astype(np.float64)
        motions[:, :3] /= np.array([question.view.focal_factor for question, _ in pairs])[:, None]
        told = iter(motions)
        return [None if question.previous is None else next(told) for question in questions]

    def _begin_motion(self, pairs: Sequence[tuple[Question, np.ndarray]]) -> None:
        self._moving = []
        previous = _joined([earlier for _, earlier in pairs])
        current = _joined([question.pixels for question, _ in pairs])
        self._pose_network.submit({'previous': previous, 'current': current})
        self._moving = [question for question, _ in pairs]

    @property
    def _pose_network(self) -> Backend:
        if self._pose is None:
            raise BackendError(f'model {self.spec.name!r} has no pose network')
        return self._pose

    def warm_up(self) -> None:
        """Run each network once, so that the first frame is not slower than the next.

        Raises:
            BackendError: the runtime failed.
        """
        self._depth.warm_up()
        if self._pose is not None:
            self._pose.warm_up()

    def blank_question(self) -> Question:
        """A frame without content, which costs what any other costs."""
        spec = self.spec
        width, height = spec.width, spec.height
        middle = Intrinsics(width, width, (width - 1) / 2, (height - 1) / 2, width, height)
        pixels = np.ones((1, height, width, 3), np.uint8)
        view = self.view_of(spec.intrinsics or middle)
        return Question(pixels, view, pixels if self.has_pose else None)

    def check(self, model: Model, options: BackendOptions) -> None:
        """See that the networks answer what their spec tells, and to samples what training told.

        Args:
            model: whose networks these are; one without samples is believed.
            options: what they run on.

        Raises:
            WrongAnswersError: they are too far from training.
            DepthRosError: they answer something else, the samples are damaged, or the runtime
                failed.
        """
        blank = [self.blank_question()]
        self.ask(blank)
        self.motions(blank)
        coarse = options.cpu_precision is CpuPrecision.BF16
        least = BF16_ACCEPTED if coarse else 0.0
        compare_with_training(self._depth, model.depth_path, depth_case(model), least)
        if self._pose is not None and model.pose_path is not None:
            compare_with_training(self._pose, model.pose_path, motion_case(model), least)

    def close(self) -> None:
        """Give back the networks' memory; nothing may be run afterwards."""
        try:
            # The last one first: OpenVINO gives the thread a stack for signals and puts back the
            # one before it, which is to be there still.
            if self._pose is not None:
                self._pose.close()
        finally:
            self._depth.close()


def _pairs(questions: Sequence[Question]) -> list[tuple[Question, np.ndarray]]:
    """Those that the pose network is asked too, with their earlier frames."""
    return [(one, one.previous) for one in questions if one.previous is not None]


def _joined(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures [1,H,W,3] as a batch; a single one as it lies."""
    return pictures[0] if len(pictures) == 1 else np.concatenate(pictures)
