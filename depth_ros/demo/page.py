"""Pictures and the page of a demo run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_ros.colorize import colorize_depth, depth_range
from depth_ros.demo.accuracy import PathAccuracy
from depth_ros.demo.answers import Answers
from depth_ros.demo.summary import Summary
from depth_ros.demo.top_view import draw_top_view
from depth_ros.evaluation import plots, report
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM

MAX_CLOUDS = 12


@dataclass(frozen=True)
class Shot:
    """One frame to look at."""

    index: int
    image: np.ndarray
    """uint8 [H,W,3] RGB, as recorded."""
    depth_m: np.ndarray
    truth_m: np.ndarray | None
    confidence: np.ndarray | None


def write_pictures(folder: Path, shot: Shot, top_view: np.ndarray | None) -> None:
    """Write input.png, depth.png, and where there is one confidence.png and top_view.png."""
    pictures = {'input': shot.image, 'depth': _depth_picture(shot.depth_m)}
    if shot.confidence is not None:
        pictures['confidence'] = _grey(shot.confidence)
    if top_view is not None:
        pictures['top_view'] = top_view
    for name, picture in pictures.items():
        channels = picture if picture.ndim == 2 else picture[..., ::-1]
        cv2.imwrite(str(folder / f'{name}.png'), channels)


def top_view(answers: Answers, path: PathAccuracy | None, metric: bool) -> np.ndarray | None:
    """Clouds, path and where it is known the true path from above; None without clouds."""
    placed = [cloud for cloud in answers.clouds if cloud.stamp_ns in answers.odom_T_base]
    step = max(1, len(placed) // MAX_CLOUDS)
    points, colours = [], []
    # Without odometry a single cloud stands for itself.
    for cloud in placed[step // 2 :: step] or answers.clouds[-1:]:
        odom_T_cam = answers.odom_T_base.get(cloud.stamp_ns, np.eye(4)) @ DEFAULT_BASE_T_CAM
        points.append(cloud.points_m @ odom_T_cam[:3, :3].T + odom_T_cam[:3, 3])
        colours.append(cloud.colours)
    if not points:
        return None
    paths = []
    if len(answers.odom_T_base) > 1:
        poses = [pose for _, pose in sorted(answers.odom_T_base.items())]
        paths.append(np.stack(poses)[:, :3, 3])
        if path is not None:
            paths.append(path.true_in_odom_m)
    return draw_top_view(
        np.concatenate(points), np.concatenate(colours), paths, 'm' if metric else 'units'
    )


def make_page(
    summary: Summary,
    shots: list[Shot],
    from_above: np.ndarray | None,
    latencies_ms: Mapping[int, float],
) -> report.Page:
    """The page: figures, frames, the view from above, and latency over time."""
    page = report.Page(
        'depth_ros demo',
        f'{summary.bag}: {summary.frames_out} of {summary.frames_in} frames answered at '
        f'{summary.rate_hz:g} Hz by {summary.model} on {summary.backend}',
    )
    page.add(report.heading('Figures'), report.table(('', ''), _rows(summary)))
    page.add(report.heading('Frames'))
    for shot in shots:
        page.add(report.pictures(_row(shot)))
    if from_above is not None:
        page.add(
            report.heading('From above'),
            report.pictures([report.Picture(
                from_above, 'Point clouds and path (orange: estimated, blue: true)')], 960),
        )  # fmt: skip
    indices = np.array(sorted(latencies_ms))
    values = np.array([latencies_ms[index] for index in indices])
    page.add(
        report.heading('Latency'),
        plots.line_plot([plots.Series('published to received', indices, values)], 'frame', 'ms'),
        report.note('From just before the player publishes an image to the depth message in '
                    'the collector; three processes, by one clock.'),
    )
    return page


def _rows(summary: Summary) -> list[tuple[str, str]]:
    width, height = summary.image_size
    rows = [
        ('frames published', str(summary.frames_in)),
        ('answered', f'{summary.frames_out} ({summary.answered:.1%})'),
        ('overtaken by a newer frame', str(summary.frames_overtaken)),
        ('refused / lost on the way', f'{summary.frames_refused} / {summary.frames_lost}'),
        ('latency p50 / p95', f'{summary.latency_ms.p50:g} / {summary.latency_ms.p95:g} ms'),
        ('input', f'{summary.image_topic}, {width}x{height}'),
        ('scale', summary.scale_source),
        ('ROS 2', f'{summary.distro}, {summary.middleware}, Python {summary.python}'),
    ]
    depth, path = summary.accuracy.depth, summary.accuracy.path
    if depth is not None:
        rows.append(('AbsRel / d1, median-scaled', f'{depth.abs_rel:.3f} / {depth.d1:.3f}'))
        if depth.unscaled_abs_rel is not None:
            rows.append(('AbsRel / d1, as published',
                         f'{depth.unscaled_abs_rel:.3f} / {depth.unscaled_d1:.3f}'))
        rows.append(('a constant, median-scaled',
                     f'{depth.constant_abs_rel:.3f} / {depth.constant_d1:.3f}'))
    if path is not None:
        rows.extend((f'ATE after {name} alignment', f'{ate:.3f} m of a {path.path_m:.2f} m path')
                    for name, ate in path.ate_m.items())
        if path.caveat:
            rows.append(('true path', path.caveat))
    return rows


def _row(shot: Shot) -> list[report.Picture]:
    limits = depth_range(shot.depth_m)
    caption = 'depth' if limits is None else f'depth, {limits[0]:.2f} (red) to {limits[1]:.2f}'
    row = [
        report.Picture(shot.image, f'frame {shot.index}: input'),
        report.Picture(_depth_picture(shot.depth_m, limits), caption),
    ]
    if shot.truth_m is not None:
        truth = _depth_picture(shot.truth_m, limits)
        row.append(report.Picture(truth, 'true depth, same colours'))
    if shot.confidence is not None:
        row.append(report.Picture(_grey(shot.confidence), 'confidence, white is sure'))
    return row


def _depth_picture(depth_m: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    return np.ascontiguousarray(colorize_depth(depth_m, limits)[..., ::-1])


def _grey(confidence: np.ndarray) -> np.ndarray:
    return (255 * np.clip(np.nan_to_num(confidence), 0, 1)).astype(np.uint8)
