"""What the self-supervised losses see of a batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor
from torch.nn import functional

from training.geometry import scaled_intrinsics


@dataclass(frozen=True)
class Views:
    """What the loss sees of a batch: un-augmented images in [0, 1] and their geometry.

    target [B, 3, H, W]; sources [S, B, 3, H, W]; intrinsics in pixels of these images:
    target [B, 4], sources [S, B, 4]; source_T_target [S, B, 4, 4]; depth_factor [B], the focal
    correction of training.geometry.focal_factor (ones for the training camera); available bool
    [S, B]: a source that a sample lacks is never compared with. Images and transforms of what is
    not available are finite all the same, so that no loss and no gradient meets NaN.
    """

    target: Tensor
    sources: Tensor
    target_intrinsics: Tensor
    source_intrinsics: Tensor
    source_T_target: Tensor
    depth_factor: Tensor
    available: Tensor

    def samples(self) -> Iterator['Views']:
        """The same, one sample at a time (B = 1)."""
        # split, not slices: a slice's gradient is as large as the whole batch.
        fields = (
            self.target.split(1),
            self.sources.split(1, 1),
            self.target_intrinsics.split(1),
            self.source_intrinsics.split(1, 1),
            self.source_T_target.split(1, 1),
            self.depth_factor.split(1),
            self.available.split(1, 1),
        )
        for one in zip(*fields):
            yield Views(*one)

    def shrunk(self, divisor: int) -> 'Views':
        """The same seen in images of 1 / divisor the size, H and W multiples of it."""

        def shrink(images: Tensor) -> Tensor:
            flat = functional.avg_pool2d(images.flatten(0, -4), divisor)
            return flat.unflatten(0, images.shape[:-3])

        return Views(
            shrink(self.target),
            shrink(self.sources),
            scaled_intrinsics(self.target_intrinsics, 1 / divisor),
            scaled_intrinsics(self.source_intrinsics, 1 / divisor),
            self.source_T_target,
            self.depth_factor,
            self.available,
        )

    def featured(self, target: Tensor, sources: Tensor) -> 'Views':
        """The same seen as feature maps, [B, C, h, w] and [S, B, C, h, w].

        Feature (i, j) of a strided convolution is centred on pixel stride * (i, j), so that all of
        the intrinsics are divided by the stride; in averaged images (`shrunk`) pixels lie between.
        """
        ratio = target.shape[-1] / self.target.shape[-1]
        return replace(
            self,
            target=target,
            sources=sources,
            target_intrinsics=self.target_intrinsics * ratio,
            source_intrinsics=self.source_intrinsics * ratio,
        )
