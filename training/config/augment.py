"""Random changes of the frames."""

from __future__ import annotations

from dataclasses import dataclass

from training.config.require import require


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes, one draw for all frames of a sample.

    Attributes:
        flip: probability of mirroring left to right.
        jitter: probability of changing colours.
        brightness, contrast, saturation: factors are drawn within 1 +- this.
        hue: shift is drawn within +- this [turns].
        zoom: largest zoom into a window; 1: none. It shows other focal lengths.
        zoom_share: probability of zooming.
        zoom_centred: whether windows are about the middle of the image, not anywhere.
        blur: probability of blurring what networks see.
        blur_sigma: largest standard deviation of the blur [pixels].
    """

    flip: float = 0.5
    jitter: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    hue: float = 0.1
    zoom: float = 1.0
    zoom_share: float = 1.0
    zoom_centred: bool = False
    blur: float = 0.0
    blur_sigma: float = 1.0

    def __post_init__(self) -> None:
        for name in ('flip', 'jitter', 'zoom_share', 'blur'):
            value = getattr(self, name)
            require(0 <= value <= 1, f'augment.{name} {value} must be within 0 to 1')
        require(
            0 < self.blur_sigma <= 10,
            f'augment.blur_sigma {self.blur_sigma} must be above 0, up to 10',
        )
        for name in ('brightness', 'contrast', 'saturation'):
            value = getattr(self, name)
            require(0 <= value <= 1, f'augment.{name} {value} must be within 0 to 1')
        require(0 <= self.hue <= 0.5, f'augment.hue {self.hue} must be within 0 to 0.5 turns')
        require(1 <= self.zoom <= 3, f'augment.zoom {self.zoom} must be within 1 to 3')
