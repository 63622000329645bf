"""A depth network asked for an image and for its mirror image: Monodepth2's post-processing.

Near the border where a stereo partner or the next frame saw nothing, a network guesses; mirrored,
the guess falls on the other border. The result takes each border from the picture in which it was
better and the mean in between. Source: Godard et al., "Unsupervised monocular depth estimation
with left-right consistency", CVPR 2017, section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from depth_ros.backends.backend import Backend, ImmediateBackend

_BORDER = 0.05
"""Share of the width at either side that one picture alone decides."""
_STEEPNESS = 20.0


class MirroredBackend(ImmediateBackend):
    """A depth backend whose answer is blended with that of the mirrored input."""

    def __init__(self, backend: Backend) -> None:
        """Ask `backend`, which is closed with this one."""
        self._backend = backend
        self.caveat = backend.caveat

    @property
    def description(self) -> str:
        """See Backend."""
        return f'{self._backend.description}, blended with the mirror image'

    @property
    def input_names(self) -> tuple[str, ...]:
        """See Backend."""
        return self._backend.input_names

    @property
    def output_names(self) -> tuple[str, ...]:
        """See Backend."""
        return self._backend.output_names

    @property
    def max_batch(self) -> int:
        """See Backend."""
        return self._backend.max_batch

    def compute(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See ImmediateBackend; outputs besides `depth` are those of the image as it is."""
        outputs = {name: value.copy() for name, value in self._backend.run(inputs).items()}
        mirror = self._backend.run(_mirrored(inputs))
        inverse = blend_inverse_depth(
            np.reciprocal(outputs['depth']), np.reciprocal(mirror['depth'][..., ::-1])
        )
        return {**outputs, 'depth': np.reciprocal(inverse)}

    def warm_up(self) -> None:
        """See Backend."""
        self._backend.warm_up()

    def close(self) -> None:
        """See Backend."""
        self._backend.close()


def blend_inverse_depth(plain: np.ndarray, mirrored_back: np.ndarray) -> np.ndarray:
    """Blend two inverse depth maps float32 [...,W] of one picture.

    Args:
        plain: of the picture as it is.
        mirrored_back: of its mirror image, mirrored back.

    Returns:
        float32 [...,W]: the second at the left border, the first at the right one, their mean in
        between, with weights that sum to 1 in each column.
    """
    along = np.linspace(0.0, 1.0, plain.shape[-1], dtype=np.float32)
    left = 1.0 - np.clip(_STEEPNESS * (along - _BORDER), 0.0, 1.0)
    right = left[::-1]
    middle = (1.0 - left - right) / 2.0
    return (right + middle) * plain + (left + middle) * mirrored_back


def _mirrored(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the network would be given of the same world seen in a mirror."""
    images = inputs['image']
    mirrored = {**inputs, 'image': np.ascontiguousarray(images[:, :, ::-1])}
    if 'intrinsics' in inputs:
        intrinsics = inputs['intrinsics'].copy()
        intrinsics[:, 2] = images.shape[2] - 1 - intrinsics[:, 2]
        mirrored['intrinsics'] = intrinsics
    return mirrored
