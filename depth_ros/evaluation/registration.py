"""Signs that depth images do not lie on the pixels of the image that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass

from depth_ros.cameras.rectifier import is_rectified_topic
from depth_ros.motion.frame_links import plain_frame


@dataclass(frozen=True)
class Picture:
    """What tells where the pixels of an image lie.

    Attributes:
        topic: it was recorded from.
        frame_id: of its header; '' where the message does not say.
        width: in pixels.
        height: in pixels.
    """

    topic: str
    frame_id: str
    width: int
    height: int


def registration_caveat(depth: Picture, image: Picture, *, rectified: bool) -> str:
    """For people: what speaks against true depth being registered to the image.

    Empty where nothing does. A depth image may have any size, but shows what the image shows.

    Args:
        depth: the depth image, which is compared as it is.
        image: what the model sees.
        rectified: whether that was resampled to a pinhole view.
    """
    signs = []
    frames = plain_frame(depth.frame_id), plain_frame(image.frame_id)
    if all(frames) and frames[0] != frames[1]:
        signs.append(f'its frame is {frames[0]!r} and that of the image {frames[1]!r}')
    # Sizes are rounded where an image is shrunk.
    if abs(depth.height - image.height * depth.width / image.width) > 1.0:
        signs.append(f'it is {depth.width}x{depth.height} and the image '
                     f'{image.width}x{image.height}')
    if rectified and not is_rectified_topic(depth.topic):
        signs.append('the image is rectified here and depth taken as it is')
    if not signs:
        return ''
    return (f'Depth of {depth.topic} is assumed to be registered to {image.topic}, pixel by pixel '
            f'as the model sees it, but {", ".join(signs)}: where it is not, all depth errors '
            'are wrong.')
