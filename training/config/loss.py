"""What is minimised."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from training.config.require import require


class MotionTeacher(enum.Enum):
    """Whose motions the pose network is taught by, and views may be synthesised by."""

    ODOMETRY = 'odometry'
    """The bags': makes translation, and with it depth, metric."""
    FEATURES = 'features'
    """Features tracked between the frames, with the predicted depth: no truth used."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; 0 leaves a term and its work out.

    Attributes:
        photometric: minimum reprojection with automask (Monodepth2).
        automask: ignore pixels that an unmoved source explains better.
        robust: round absolute colour differences off at zero (FeatDepth).
        feature_metric: the same minimum over learnt features, which have a gradient on plain
            surfaces too (FeatDepth); see the section features.
        coarse: the photometric error on shrunk images beside it, without automask: widens the
            motions that can be learnt from (not in the paper). Needs photometric or
            feature_metric.
        smoothness: edge-aware smoothness of disparity; halved with every scale, and multiplied by
            photometric too: without that it is not asked for.
        smoothness_edges: how much edges of the image allow edges of disparity.
        first_order: ask first differences of disparity to be small: surfaces that face the camera.
        second_order: ask second differences to be small (FeatDepth asks both): planes of any
            slope, whose disparity is linear in the image.
        normalise_disparity: divide disparity by its mean in the smoothness term: a model without
            metres could else shrink it by going far away.
        temporal: see the target from the frames before and after it.
        stereo: see it from its stereo partner, in the bags that have one: depth becomes metric.
            Without temporal no pose network is trained.
        velocity: length of predicted translations against the distance that odometry or a
            measured velocity tells (Guizilini et al., CVPR 2020): depth becomes metric. Motions
            from tracked features then turn as odometry tells, where there is one.
        consistency: depth of the frames before and after the target against the target's, moved
            by the same motions as views (Bian et al., NeurIPS 2019), and by the measured ways
            with velocity: one scale for all frames. Costs the depth of two more images a sample.
        depth: against depth truth [m].
        motion: of the pose network against its teacher.
        teacher: whose motions those are.
        warp_by_teacher: synthesise views by the teacher's motions where they are known, not by
            the pose network's: depth does not wait for the pose network, and with odometry
            becomes metric without depth truth.
        motion_more_pairs: with odometry, teach motion on reversed and on the longer pairs too.
    """

    photometric: float = 1.0
    automask: bool = True
    robust: bool = False
    feature_metric: float = 0.0
    coarse: float = 0.0
    smoothness: float = 1e-3
    smoothness_edges: float = 1.0
    first_order: bool = True
    second_order: bool = False
    normalise_disparity: bool = True
    temporal: bool = True
    stereo: bool = False
    velocity: float = 0.0
    consistency: float = 0.0
    depth: float = 0.0
    motion: float = 0.0
    teacher: MotionTeacher = MotionTeacher.ODOMETRY
    warp_by_teacher: bool = False
    motion_more_pairs: bool = False

    def __post_init__(self) -> None:
        for name in (
            'photometric', 'feature_metric', 'coarse', 'smoothness', 'smoothness_edges',
            'velocity', 'consistency', 'depth', 'motion',
        ):  # fmt: skip
            value = getattr(self, name)
            require(value >= 0, f'loss.{name} {value} must be 0 or more')
        require(
            self.first_order or self.second_order or self.smoothness == 0,
            'loss.first_order and loss.second_order are both false: loss.smoothness has nothing '
            'to ask; set one of them true, or loss.smoothness=0',
        )
        require(
            not self.warp_by_teacher or self.motion > 0,
            'loss.warp_by_teacher needs loss.motion above 0: the pose network would not learn',
        )
        require(
            self.temporal or self.stereo or not self.compares_views,
            'loss.temporal and loss.stereo are both false: loss.photometric has nothing to '
            'compare; set one of them true',
        )
        require(
            self.temporal or not (self.velocity > 0 or self.warp_by_teacher),
            'loss.velocity and loss.warp_by_teacher need loss.temporal: true',
        )
        require(
            self.consistency == 0 or (self.temporal and self.compares_views),
            f'loss.consistency {self.consistency} needs loss.temporal: true, and loss.photometric '
            'or loss.feature_metric above 0: it looks at the frames that they compare',
        )
        require(
            self.velocity == 0 or self.compares_views,
            'loss.velocity reaches depth through loss.photometric, which is 0',
        )
        require(
            self.coarse == 0 or self.compares_views,
            f'loss.coarse {self.coarse} needs loss.photometric or loss.feature_metric above 0: '
            f'nothing else compares views; set one of them, or loss.coarse=0',
        )
        require(
            not self.stereo or self.compares_views,
            'loss.stereo needs loss.photometric above 0: nothing would look at the partner',
        )
        require(
            self.trains_depth or self.motion > 0,
            'loss.photometric, loss.feature_metric, loss.depth and loss.motion are all 0: nothing '
            'to learn from',
        )

    @property
    def uses_odometry(self) -> bool:
        """Whether motions of the bags are learnt from."""
        return self.motion > 0 and self.teacher is MotionTeacher.ODOMETRY

    @property
    def compares_views(self) -> bool:
        """Whether any term compares the target with other frames."""
        return self.photometric > 0 or self.feature_metric > 0

    @property
    def needs_neighbours(self) -> bool:
        """Whether the frames before and after the target are looked at: a pose network learns."""
        return (self.compares_views and self.temporal) or self.motion > 0

    @property
    def trains_depth(self) -> bool:
        """Whether any term reaches the depth network."""
        return self.compares_views or self.depth > 0

    @property
    def scale_source(self) -> str | None:
        """What makes the networks metric in training; None: nothing."""
        if self.depth > 0:
            return 'depth truth'
        if self.stereo:
            return 'stereo baseline'
        if self.uses_odometry:
            return 'odometry'
        return 'velocity' if self.velocity > 0 else None
