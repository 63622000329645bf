"""A model's networks, loaded, with the geometry of the cameras that they look through."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from depth_ros.backends import UNWATCHED, Backend, BackendOptions, Loading, open_backend
from depth_ros.backends.mirrored import MirroredBackend
from depth_ros.camera import Intrinsics
from depth_ros.errors import BackendError
from depth_ros.model import Model, ModelSpec
from depth_ros.parity import depth_case, motion_case
from depth_ros.view import View

_MAX_VIEWS = 16


@dataclass(frozen=True)
class Frame:
    """One rectified picture."""

    stamp_ns: int
    image: np.ndarray
    """uint8 [H,W,3] RGB."""
    intrinsics: Intrinsics
    """Of that picture."""
    frame_id: str = ''


@dataclass(frozen=True)
class NetworkAnswer:
    """The depth network's answer to one frame."""

    depth: np.ndarray
    """float32 [h,w] over the whole network input in the model's unit, corrected for the camera's
    focal length; NaN where it is not positive and finite."""
    view: View
    """Where the camera's pixels lie in it."""


class DepthPipeline:
    """A model's networks, loaded."""

    def __init__(self, spec: ModelSpec, depth: Backend, pose: Backend | None) -> None:
        """Use networks that are loaded already; `open` loads those of a model folder."""
        self.spec = spec
        self._depth = depth
        self._pose = pose
        self._views: dict[Intrinsics, View] = {}
        self._takes_intrinsics = 'intrinsics' in depth.input_names

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
        depths = self.depth(batch, views)
        return [NetworkAnswer(depth, view) for depth, view in zip(depths, views)]

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
        inputs = {'image': images}
        if self._takes_intrinsics:
            cameras = [view.network_intrinsics for view in views]
            inputs['intrinsics'] = np.array(
                [(k.fx, k.fy, k.cx, k.cy) for k in cameras], np.float32
            )
        depth = self._depth.run(inputs)['depth']
        expected = (len(images), self.spec.depth_height, self.spec.depth_width)
        if depth.shape != expected:
            raise BackendError(
                f'model {self.spec.name!r} answered depth of shape {depth.shape}, '
                f'its spec tells {expected}'
            )
        factors = np.array([view.focal_factor for view in views], np.float32)
        if np.any(factors != 1.0):
            depth *= factors[:, None, None]
        unusable = ~((depth > 0) & (depth < np.inf))
        if unusable.any():
            depth[unusable] = np.nan
        return depth

    def begin_motion(self, previous: np.ndarray, current: np.ndarray) -> None:
        """Start the pose network on one pair of frames of one camera; a GPU goes on meanwhile.

        Args:
            previous: uint8 [1,height,width,3] of the network's size.
            current: the same of the later frame.

        Raises:
            BackendError: the model has no pose network, or the runtime failed.
        """
        self._pose_network.submit({'previous': previous, 'current': current})

    def end_motion(self, view: View) -> np.ndarray:
        """Take the answer to begin_motion.

        Args:
            view: the view that made both pictures.

        Returns:
            float64 [6], axis-angle [rad] and translation in the model's unit,
            previous_T_current, corrected for the camera's focal length.

        Raises:
            BackendError: nothing was begun, or the runtime failed.
        """
        motion = self._pose_network.wait()['motion'][0].astype(np.float64)
        motion[:3] /= view.focal_factor
        return motion

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

    def close(self) -> None:
        """Give back the networks' memory; nothing may be run afterwards."""
        try:
            self._depth.close()
        finally:
            if self._pose is not None:
                self._pose.close()
