"""Which part of the camera image the network sees, and where in its input.

A view is a window of the camera image resized to fill a window of the network's input. Both
windows consist of whole pixels, and their outer borders coincide, so that with pixel centres at
integers

    u_net = (u_cam + 0.5 - source.x) * target.width / source.width + target.x - 0.5

and likewise for v. Depth along the optical axis is unchanged by such a map, rays are unchanged
too: only the intrinsics differ. Training and robot both make their views here, hence a network is
trained on what it will see.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import CameraError
from depth_ros.model_folder.spec import Fit, ResizeFilter
from depth_ros.pipeline.resize import resize_into

MAX_ANAMORPHISM = 0.05
"""A stretched view may be off the training camera's fx / fy by this much; else it is cropped."""

PADDING = 128
"""Grey level of the bands around a letterboxed image."""

_NARROWEST_DEG, _WIDEST_DEG = 1.0, 179.0
_ROUNDING = 1e-4
"""Shares of a cell below this are none."""


@dataclass(frozen=True)
class Window:
    """A rectangle of whole pixels: columns x..x+width-1, rows y..y+height-1."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an image [H,W,...] with."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True)
class View:
    """An axis-aligned map from a rectified camera to the input of a network; see the module."""

    camera: Intrinsics
    network_width: int
    network_height: int
    source: Window
    """The part of the camera image that is used [camera pixels]."""
    target: Window
    """Where it lies in the network's input [network pixels]; grey around it."""
    training: Intrinsics | None
    """The camera that the network is tied to, in network pixels; None: tied to none."""

    @classmethod
    def fit(
        cls,
        camera: Intrinsics,
        network_width: int,
        network_height: int,
        fit: Fit,
        training: Intrinsics | None = None,
    ) -> View:
        """Lay out the view of a camera.

        STRETCH takes the whole image and fills the input. CROP takes the largest window that
        fills the input with pixels of the right shape; LETTERBOX takes the whole image in such
        pixels. Right is the fx / fy of the training camera for a network tied to one, otherwise
        that of the camera itself. A tied network's stretched view whose fx / fy is over
        MAX_ANAMORPHISM off is cropped instead. The cropped window lies as near as the image
        allows to where the principal point takes its place of training, else in the middle.

        Args:
            camera: the rectified camera image.
            network_width: width of the network's input [pixels].
            network_height: height of the network's input [pixels].
            fit: how the image is brought to that size.
            training: intrinsics of training in network pixels.

        Raises:
            CameraError: training intrinsics of another size than the network's input.
        """
        width, height = network_width, network_height
        if training is not None and (training.width, training.height) != (width, height):
            raise CameraError(
                f'training intrinsics are of {training.width} x {training.height} pixels, '
                f'the network has {width} x {height}'
            )
        aspect = 1.0 if training is None else training.fx * camera.fy / (training.fy * camera.fx)
        scale_x, scale_y = width / camera.width, height / camera.height
        source = Window(0, 0, camera.width, camera.height)
        target = Window(0, 0, width, height)
        tied_and_off = training is not None and (
            abs(scale_x / (scale_y * aspect) - 1.0) > MAX_ANAMORPHISM
        )
        if fit is Fit.LETTERBOX:
            scale_y = min(scale_y, scale_x / aspect)
            shown_w = min(width, max(1, round(camera.width * scale_y * aspect)))
            shown_h = min(height, max(1, round(camera.height * scale_y)))
            target = Window((width - shown_w) // 2, (height - shown_h) // 2, shown_w, shown_h)
        elif fit is Fit.CROP or tied_and_off:
            scale_y = max(scale_y, scale_x / aspect)
            used_w = min(camera.width, max(1, round(width / (scale_y * aspect))))
            used_h = min(camera.height, max(1, round(height / scale_y)))
            x = (camera.width - used_w) / 2
            y = (camera.height - used_h) / 2
            if training is not None:
                x = camera.cx + 0.5 - (training.cx + 0.5) * used_w / width
                y = camera.cy + 0.5 - (training.cy + 0.5) * used_h / height
            x = min(max(round(x), 0), camera.width - used_w)
            y = min(max(round(y), 0), camera.height - used_h)
            source = Window(x, y, used_w, used_h)
        return cls(camera, width, height, source, target, training)

    @functools.cached_property
    def network_intrinsics(self) -> Intrinsics:
        """The camera in pixels of the whole network input, padding included."""
        return self.grid_intrinsics(self.network_width, self.network_height)

    def grid_intrinsics(self, width: int, height: int) -> Intrinsics:
        """The camera in pixels of a `width` x `height` grid over the whole network input."""
        seen = self.camera.cropped(
            self.source.x, self.source.y, self.source.width, self.source.height
        ).scaled(self.target.width, self.target.height)
        padded = seen.cropped(
            -self.target.x, -self.target.y, self.network_width, self.network_height
        )
        return padded.scaled(width, height)

    @functools.cached_property
    def focal_factor(self) -> float:
        """f = fx in the network over fx of training, 1 for a network tied to no camera.

        To first order a longer focal length magnifies, and the network takes things for nearer
        and turns for larger: depth = f * answer, rotation = answer / f. The translation t = flow *
        depth / fx needs no correction.
        """
        return 1.0 if self.training is None else self.network_intrinsics.fx / self.training.fx

    def camera_fov_deg(self, network_fov_deg: float) -> float:
        """The camera's horizontal field of view [degrees], by that of the whole network input.

        network_fov_deg: what a network tells, of no bounds.
        """
        bounded = min(max(network_fov_deg, _NARROWEST_DEG), _WIDEST_DEG)
        camera_per_network = self.target.width * self.camera.width / (
            self.network_width * self.source.width
        )
        tangent = camera_per_network * math.tan(math.radians(bounded) / 2)
        return math.degrees(2 * math.atan(tangent))

    @property
    def visible(self) -> tuple[slice, slice]:
        """Rows and columns of the network input that show the camera image."""
        return self.target.slices

    def visible_window(self, width: int, height: int) -> Window:
        """The cells of a `width` x `height` grid over the network input that show only camera."""
        sx, sy = width / self.network_width, height / self.network_height
        t = self.target
        x0, y0 = _ceil(t.x * sx), _ceil(t.y * sy)
        x1, y1 = int((t.x + t.width) * sx + 1e-6), int((t.y + t.height) * sy + 1e-6)
        return Window(x0, y0, max(1, x1 - x0), max(1, y1 - y0))

    def unseen_cells(self, seen: np.ndarray, width: int, height: int) -> np.ndarray:
        """The cells of a grid over the network input that show what the camera never saw.

        Args:
            seen: bool [camera.height,camera.width], the pixels that show what it saw.
            width: of the grid [cells].
            height: of the grid [cells].

        Returns:
            bool [height,width], true where any part is unseen; padding is not.
        """
        shares = np.zeros((self.network_height, self.network_width), np.float32)
        shares[self.visible] = cv2.resize(
            (~seen[self.source.slices]).astype(np.float32),
            (self.target.width, self.target.height),
            interpolation=cv2.INTER_AREA,
        )
        return cv2.resize(shares, (width, height), interpolation=cv2.INTER_AREA) > _ROUNDING

    def to_network(
        self,
        image: np.ndarray,
        out: np.ndarray | None = None,
        resize_filter: ResizeFilter = ResizeFilter.AREA,
    ) -> np.ndarray:
        """Bring a camera image to the network's input.

        Args:
            image: uint8 [H,W,3] of the camera's size.
            out: uint8 [network_height,network_width,3] to write into; made where it is None.
            resize_filter: how pixels are averaged.

        Returns:
            `out`.

        Raises:
            CameraError: the image does not have the camera's size.
        """
        if image.shape != (self.camera.height, self.camera.width, 3):
            raise CameraError(
                f'image of shape {image.shape} does not fit the camera_info of '
                f'{self.camera.width} x {self.camera.height} pixels'
            )
        if out is None:
            out = np.empty((self.network_height, self.network_width, 3), np.uint8)
        if self.target.width < self.network_width or self.target.height < self.network_height:
            out[...] = PADDING
        resize_into(image[self.source.slices], out[self.target.slices], resize_filter)
        return out

    def depth_to_camera(self, depth: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Bring depth over the network input to the camera's pixels.

        Interpolates inverse depth bilinearly, which is exact on planes and what disparity
        networks are evaluated with; across a step it stays near the closer surface.

        Args:
            depth: float32 [h,w] covering the whole network input; NaN where unknown.
            out: float32 [camera.height,camera.width] to write into; made where it is None.

        Returns:
            `out`, NaN outside the view and next to unknown cells.
        """
        result = self.map_to_camera(np.reciprocal(depth, dtype=np.float32), out)
        return np.reciprocal(result, out=result)

    def map_to_camera(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Bring any map over the network input to the camera's pixels, bilinearly.

        Args:
            values: float32 [h,w] covering the whole network input; NaN where unknown.
            out: float32 [camera.height,camera.width] to write into; made where it is None.

        Returns:
            `out`, NaN outside the view and next to unknown cells.
        """
        if out is None:
            out = np.empty((self.camera.height, self.camera.width), np.float32)
        seen = out[self.source.slices]
        if seen.size < out.size:
            out[...] = np.nan
        height, width = values.shape
        sx, sy = width / self.network_width, height / self.network_height
        x, y = self.target.x * sx, self.target.y * sy
        shown_w, shown_h = self.target.width * sx, self.target.height * sy
        size = (self.source.width, self.source.height)
        if all(edge.is_integer() for edge in (x, y, shown_w, shown_h)):
            part = Window(int(x), int(y), int(shown_w), int(shown_h))
            cv2.resize(values[part.slices], size, dst=seen, interpolation=cv2.INTER_LINEAR)
        else:
            kx, ky = shown_w / size[0], shown_h / size[1]
            grid_of_camera = np.array(
                [[kx, 0.0, x + kx / 2 - 0.5], [0.0, ky, y + ky / 2 - 0.5]], np.float64
            )
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            cv2.warpAffine(
                values, grid_of_camera, size, dst=seen, flags=flags,
                borderMode=cv2.BORDER_REPLICATE,
            )  # fmt: skip
        return out


def _ceil(value: float) -> int:
    return -int(-(value - 1e-6) // 1)
