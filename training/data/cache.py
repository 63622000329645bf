"""A bag decoded, rectified and fitted to the network once, memory-mapped by every later run.

A cache is a folder named by the bag's files and everything that shapes its content. It is built
beside its final name and renamed, so that it is there complete or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros import bags
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import Rectifier, RectifyMode
from depth_ros.errors import BagError, DepthRosError
from depth_ros.model_folder.spec import Fit, ResizeFilter
from depth_ros.motion.frame_links import plain_frame
from depth_ros.pipeline.view import View
from training.config import BagSource
from training.config.strict import to_plain
from training.data.cached_frame import CachedFrame, nearest, sync
from training.data.partner import PARTNER_FILE, write_partners
from training.progress import Progress

FORMAT = 6
TOLERANCE_NS = 25_000_000
"""Truth belongs to an image when its stamp is at most this far away."""

_NOT_WRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


@dataclass(frozen=True)
class CacheSettings:
    """Everything that a cache's content depends on, the bag's files aside.

    Attributes:
        source: bag, range and topics.
        width, height, fit, training, resize_filter: the view of the network
            (depth_ros.pipeline.view.View).
        rectify: whether images still have to be rectified.
        depth_truth, odometry_truth: whether truth is read.
        stereo: whether the images of a second camera are read.
        velocity: whether the way that the robot measured is read.
    """

    source: BagSource
    width: int
    height: int
    fit: Fit
    rectify: RectifyMode = RectifyMode.AUTO
    training: Intrinsics | None = None
    resize_filter: ResizeFilter = ResizeFilter.AREA
    depth_truth: bool = True
    odometry_truth: bool = True
    stereo: bool = False
    velocity: bool = False


@dataclass(frozen=True)
class FrameCache:
    """Frames of one bag as the network sees them, in order of their stamps.

    Attributes:
        folder: where it lies.
        images: RGB uint8 [n,H,W,3], memory-mapped.
        intrinsics: (fx, fy, cx, cy) of each image [network pixels], float32 [n,4].
        visible: camera image on the network grid, (x0, y0, x1, y1) half open, int32 [n,4]; the
            rest is padding.
        stamps_ns: int64 [n].
        indices: of the images in the bag, int64 [n].
        depth_m: truth float32 [n,H,W], NaN where unknown, memory-mapped; None where no frame has
            any. Not in half precision, whose steps are as large as the details that derivatives
            of depth are compared for.
        has_truth: whether any pixel of depth_m is known, bool [n].
        world_T_cam: truth float64 [n,4,4], NaN where unknown; None without truth.
        partner_images: of the other camera of a stereo pair, as images; None without one.
        partner_right_m: how far right of the camera it is, negative to the left, NaN where an
            image has no partner, float64 [n].
        place_m: where the camera was by the robot's measured way, float64 [n,3], NaN where
            unknown; None where nothing was measured.
        piece: int64 [n]; only places of one piece can be compared.
        odometry_fault: for people: why the bag's odometry is not that of the camera, and not
            used; '' where it is, or there is none.
    """

    folder: Path
    images: np.ndarray
    intrinsics: np.ndarray
    visible: np.ndarray
    stamps_ns: np.ndarray
    indices: np.ndarray
    depth_m: np.ndarray | None
    has_truth: np.ndarray
    world_T_cam: np.ndarray | None
    partner_images: np.ndarray | None = None
    partner_right_m: np.ndarray | None = None
    place_m: np.ndarray | None = None
    piece: np.ndarray | None = None
    odometry_fault: str = ''

    def __len__(self) -> int:
        return len(self.stamps_ns)

    def travelled_m(self, first: int, second: int) -> float:
        """Distance between the camera's places at two frames; NaN where it is not known."""
        if self.place_m is None or self.piece is None or self.piece[first] != self.piece[second]:
            return float('nan')
        return float(np.linalg.norm(self.place_m[second] - self.place_m[first]))


def default_cache_root() -> Path:
    """Where caches lie if nothing else is said: ~/.cache/depth_ros/frames."""
    home = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return Path(home).expanduser() / 'depth_ros' / 'frames'


def open_cache(settings: CacheSettings, root: Path, progress: Progress) -> FrameCache:
    """The cache of these settings below `root`, built first where it is not there yet.

    Raises:
        BagError: the bag cannot be read or has no usable frames.
        CameraError: the camera is not calibrated.
        DepthRosError: the disk is full or not writable.
    """
    name = settings.source.path.stem or 'bag'
    folder = root / f'{name}-{_key(settings)}'
    with _disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix('.lock')):
            if not (folder / 'meta.json').is_file():
                progress(f'decoding {settings.source.path}')
                _build(settings, folder, progress)
    return _load(folder)


def _key(settings: CacheSettings) -> str:
    """Hash of the settings and of path, size and modification time of the bag's files."""
    path = settings.source.path
    if not path.exists():
        raise BagError(f'no bag at {path}')
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    plain = to_plain(settings)
    # What changes nothing in a cache.
    del plain['source']['weight'], plain['source']['truth']
    text = json.dumps([FORMAT, stats, plain], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Only one process makes what this file stands for; the others wait for it."""
    with path.open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DepthRosError(
                f'disk full while caching frames below {root}; free space, or choose another '
                f'folder with --set data.cache=FOLDER'
            ) from None
        if error.errno in _NOT_WRITABLE:
            raise DepthRosError(
                f'cannot write {error.filename or root}: {error.strerror}; choose another folder '
                f'with --set data.cache=FOLDER'
            ) from None
        raise


def _build(settings: CacheSettings, folder: Path, progress: Progress) -> None:
    partial = folder.with_suffix('.partial')
    # What a killed run left behind: the lock is ours, so nobody is writing it.
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        frames = _write_frames(settings, partial)
        has_truth = np.zeros(len(frames), bool)
        if settings.depth_truth:
            has_truth = _write_depth(settings, frames, partial)
        cameras = [frame.view.network_intrinsics for frame in frames]
        arrays: dict[str, np.ndarray] = {
            'intrinsics': np.array([_values(camera) for camera in cameras], np.float32),
            'visible': np.array([_window(f.view) for f in frames], np.int32),
            'stamps_ns': np.array([f.stamp_ns for f in frames], np.int64),
            'indices': np.array([f.index for f in frames], np.int64),
            'has_truth': has_truth,
        }
        arrays |= _read_motion(settings, frames, progress)
        if settings.stereo:
            right_m = write_partners(
                settings.source, settings.rectify, settings.resize_filter, frames, partial
            )
            if right_m is not None:
                arrays['partner_right_m'] = right_m
        with (partial / 'arrays.npz').open('wb') as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        meta = {
            'format': FORMAT,
            'frames': len(frames),
            'height': settings.height,
            'width': settings.width,
            'settings': to_plain(settings),
        }
        (partial / 'meta.json').write_text(json.dumps(meta, indent=1))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_frames(settings: CacheSettings, folder: Path) -> list[CachedFrame]:
    source = settings.source
    with bags.BagReader(source.path) as reader:
        topics = bags.find_camera_topics(reader, source.image_topic, source.camera_info_topic)
    rectifiers: dict[CameraModel, tuple[Rectifier, View]] = {}
    frames: list[CachedFrame] = []
    selection = bags.Selection(first=source.first, last=source.last)
    with (folder / 'images.raw').open('wb') as file:
        for frame in bags.read_frames(source.path, topics, selection):
            if frames and frame.stamp_ns <= frames[-1].stamp_ns:
                continue
            if frame.camera not in rectifiers:
                rectifier = Rectifier(frame.camera, settings.rectify, topics.image)
                rectifiers[frame.camera] = (rectifier, _fit(settings, rectifier.intrinsics))
            rectifier, view = rectifiers[frame.camera]
            image = view.to_network(
                rectifier(frame.image), resize_filter=settings.resize_filter
            )
            file.write(np.ascontiguousarray(image).data)
            frames.append(
                CachedFrame(
                    frame.index, frame.stamp_ns, frame.frame_id, frame.camera,
                    rectifier.intrinsics, view,
                )
            )
        sync(file)
    if not frames:
        raise BagError(
            f'{source.path} has no images on {topics.image} from frame {source.first} to '
            f'{"the end" if source.last is None else source.last}'
        )
    return frames


def _fit(settings: CacheSettings, camera: Intrinsics) -> View:
    return View.fit(camera, settings.width, settings.height, settings.fit, settings.training)


def _write_depth(
    settings: CacheSettings, frames: list[CachedFrame], folder: Path
) -> np.ndarray:
    """Depth truth at every network pixel's centre: nearest, since means across edges are no depth.

    The truth is taken to belong to the rectified camera, as depth_image_proc registers it.

    Returns:
        which frames have any, bool [n].
    """
    source = settings.source
    with bags.BagReader(source.path) as reader:
        topic = bags.find_depth_topic(reader, source.depth_topic)
    has_truth = np.zeros(len(frames), bool)
    if topic is None:
        return has_truth
    stamps = np.array([frame.stamp_ns for frame in frames])
    # Of several depth images about a frame, as of a faster depth camera, the nearest in time.
    away_ns = np.full(len(frames), TOLERANCE_NS + 1)
    unknown = np.full((settings.height, settings.width), np.nan, np.float32)
    with (folder / 'depth.raw').open('wb') as file:
        # Every byte is written before any is sought to: a full disk shows here, as an error.
        for _ in frames:
            file.write(unknown.data)
        begin, end = int(stamps[0]) - TOLERANCE_NS, int(stamps[-1]) + TOLERANCE_NS + 1
        for stamp_ns, depth_m in bags.read_depth(source.path, topic, begin, end):
            index = nearest(stamps, stamp_ns, TOLERANCE_NS)
            if index is None or abs(int(stamps[index]) - stamp_ns) >= away_ns[index]:
                continue
            frame, away_ns[index] = frames[index], abs(int(stamps[index]) - stamp_ns)
            file.seek(index * unknown.nbytes)
            sampled = sample_depth(depth_m, frame.camera, frame.view.network_intrinsics)
            file.write(sampled.data)
            has_truth[index] = np.isfinite(sampled).any()
        sync(file)
    return has_truth


def sample_depth(depth_m: np.ndarray, camera: Intrinsics, network: Intrinsics) -> np.ndarray:
    """Depth of the nearest pixel on the network grid, NaN outside the image or where unknown.

    Args:
        depth_m: float [h,w] metres; it may be a scaled image of the same camera.
        camera: of the image that depth_m belongs to, of any size.
        network: of the network grid.

    Returns:
        float32 [network.height, network.width].
    """
    height, width = depth_m.shape
    camera = camera.scaled(width, height)
    u = (np.arange(network.width) - network.cx) / network.fx * camera.fx + camera.cx
    v = (np.arange(network.height) - network.cy) / network.fy * camera.fy + camera.cy
    columns, rows = np.rint(u).astype(int), np.rint(v).astype(int)
    inside_u = (columns >= 0) & (columns < width)
    inside_v = (rows >= 0) & (rows < height)
    depth = depth_m[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)[None]]
    known = inside_v[:, None] & inside_u[None] & np.isfinite(depth) & (depth > 0)
    return np.where(known, depth, np.nan).astype(np.float32)


def _read_motion(
    settings: CacheSettings, frames: list[CachedFrame], progress: Progress
) -> dict[str, np.ndarray]:
    """Arrays of the cache that odometry and velocities fill; none where the bag has none."""
    arrays: dict[str, np.ndarray] = {}
    if settings.odometry_truth:
        world_T_cam, fault = _read_poses(settings, frames)
        if world_T_cam is not None:
            arrays['world_T_cam'] = world_T_cam
        arrays['odometry_fault'] = np.array(fault)
    travel = _read_travel(settings, frames, progress) if settings.velocity else None
    if travel is not None:
        stamps_ns = np.array([frame.stamp_ns for frame in frames])
        arrays['place_m'], arrays['piece'] = travel.at(stamps_ns)
    return arrays


def _read_travel(
    settings: CacheSettings, frames: list[CachedFrame], progress: Progress
) -> bags.Travel | None:
    source, camera_frame = settings.source, frames[0].frame_id
    with bags.BagReader(source.path) as reader:
        topic = bags.find_velocity_topic(reader, source.velocity_topic or source.odometry_topic)
    if topic is None:
        return None
    travel = bags.read_travel(source.path, topic, camera_frame)
    if travel is not None and travel.whose != camera_frame:
        progress(
            f'{source.path}: {topic} is taken as the way of the camera, though it is that of '
            f'{travel.whose!r}: /tf_static does not connect that with {camera_frame!r}'
        )
    return travel


def _read_poses(
    settings: CacheSettings, frames: list[CachedFrame]
) -> tuple[np.ndarray | None, str]:
    """Poses of the frames, None where the bag has none; and why not, where it has some.

    Motions of another body with an unknown place are no truth of the camera's.
    """
    source = settings.source
    with bags.BagReader(source.path) as reader:
        topic = bags.find_odometry_topic(reader, source.odometry_topic)
    if topic is None:
        return None, ''
    camera_frame = frames[0].frame_id
    trajectory = bags.read_trajectory(source.path, topic, camera_frame)
    body = plain_frame(trajectory.child_frame_id)
    if body not in ('', plain_frame(camera_frame)):
        return None, (
            f'{topic} tells the pose of {body!r}, which /tf_static does not connect with '
            f'{camera_frame!r}'
        )
    stamps_ns = np.array([frame.stamp_ns for frame in frames])
    known = trajectory.near(stamps_ns, TOLERANCE_NS)
    poses = np.full((len(frames), 4, 4), np.nan)
    poses[known] = trajectory.at(stamps_ns[known])
    return poses, ''


def _values(k: Intrinsics) -> tuple[float, float, float, float]:
    return k.fx, k.fy, k.cx, k.cy


def _window(view: View) -> tuple[int, int, int, int]:
    rows, columns = view.visible
    return columns.start, rows.start, columns.stop, rows.stop


def _load(folder: Path) -> FrameCache:
    meta = json.loads((folder / 'meta.json').read_text())
    shape = (meta['frames'], meta['height'], meta['width'])
    with np.load(folder / 'arrays.npz') as arrays:
        small = dict(arrays)
    depth_m = None
    if small['has_truth'].any():
        depth_m = np.memmap(folder / 'depth.raw', np.float32, 'r', shape=shape)
    partner_images = None
    if 'partner_right_m' in small:
        partner_images = np.memmap(folder / PARTNER_FILE, np.uint8, 'r', shape=(*shape, 3))
    return FrameCache(
        folder=folder,
        images=np.memmap(folder / 'images.raw', np.uint8, 'r', shape=(*shape, 3)),
        intrinsics=small['intrinsics'],
        visible=small['visible'],
        stamps_ns=small['stamps_ns'],
        indices=small['indices'],
        depth_m=depth_m,
        has_truth=small['has_truth'],
        world_T_cam=small.get('world_T_cam'),
        partner_images=partner_images,
        partner_right_m=small.get('partner_right_m'),
        place_m=small.get('place_m'),
        piece=small.get('piece'),
        odometry_fault=str(small.get('odometry_fault', '')),
    )
