"""Bags of every kind: read, paired, damaged, written."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from helpers import make_intrinsics, shared_bag
from rosbags.interfaces import QosDurability
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import Reader as Reader2
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from depth_ros.bags import (
    BagReader,
    BagWriter,
    CameraTopics,
    Selection,
    Storage,
    find_camera_topics,
    find_depth_topic,
    find_odometry_topic,
    read_depth,
    read_frames,
    read_trajectory,
)
from depth_ros.errors import BagError, CameraError, ConfigError, MessageError
from depth_ros.messages import bag_messages as build
from depth_ros.messages.stamps import NSEC

START_NS = 1_700_000_000 * NSEC
STEP_NS = NSEC // 10
CAMERA = make_intrinsics(32, 24)
TOPICS = CameraTopics('/cam/image_raw', '/cam/camera_info')


def stamp(index: int) -> int:
    return START_NS + index * STEP_NS


def picture(index: int) -> np.ndarray:
    return np.full((24, 32, 3), (index, 2 * index, 200), np.uint8)


def pose(index: int) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = (0.1 * index, 0.0, 1.0)
    return matrix


def write_frame(writer: BagWriter, index: int) -> None:
    image = build.image(stamp(index), 'optical', picture(index), 'rgb8')
    writer.write(TOPICS.image, build.IMAGE, stamp(index), image)
    info = build.camera_info(stamp(index), 'optical', CAMERA)
    writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(index), info)
    depth = np.full((24, 32), 1.0 + index, np.float32)
    depth[0, 0] = np.nan
    writer.write('/cam/depth/image_raw/compressedDepth', build.COMPRESSED_IMAGE, stamp(index),
                 build.compressed_depth(stamp(index), 'optical', depth))
    writer.write('/odom', build.ODOMETRY, stamp(index),
                 build.odometry(stamp(index), 'world', 'optical', pose(index)))


def make_bag(path: Path, storage: Storage = Storage.MCAP, frames: int = 8) -> Path:
    with BagWriter(path, storage) as writer:
        for index in range(frames):
            write_frame(writer, index)
    return path


@pytest.fixture(scope='module')
def bags(tmp_path_factory) -> dict[Storage, Path]:
    folder = tmp_path_factory.mktemp('bags')
    return {storage: make_bag(folder / storage.value, storage) for storage in Storage}


@pytest.fixture(params=list(Storage))
def bag(request, bags) -> Path:
    return bags[request.param]


def only_file(bag: Path) -> Path:
    return next(f for f in bag.iterdir() if f.suffix in ('.mcap', '.db3'))


def test_what_was_written_is_read(bag):
    with BagReader(bag) as reader:
        assert {t.name: (t.type, t.count) for t in reader.topics}['/odom'] == (build.ODOMETRY, 8)
        assert reader.start_ns == stamp(0)
        assert reader.end_ns >= stamp(7)
        assert find_camera_topics(reader) == TOPICS
        assert find_depth_topic(reader) == '/cam/depth/image_raw/compressedDepth'
        assert find_odometry_topic(reader) == '/odom'
    frames = list(read_frames(bag, TOPICS))
    assert [f.index for f in frames] == list(range(8))
    assert [f.stamp_ns for f in frames] == [stamp(i) for i in range(8)]
    assert frames[3].frame_id == 'optical'
    np.testing.assert_array_equal(frames[3].image, picture(3))
    assert frames[3].camera.k[0] == CAMERA.fx


def test_depth_and_poses(bag):
    depth = list(read_depth(bag, '/cam/depth/image_raw/compressedDepth'))
    assert [s for s, _ in depth] == [stamp(i) for i in range(8)]
    assert np.isnan(depth[2][1][0, 0])
    assert depth[2][1][5, 5] == 3.0
    window = read_depth(bag, '/cam/depth/image_raw/compressedDepth', stamp(2), stamp(4))
    assert [s for s, _ in window] == [stamp(2), stamp(3)]
    trajectory = read_trajectory(bag, '/odom')
    np.testing.assert_allclose(trajectory.world_T_cam, [pose(i) for i in range(8)])
    assert (trajectory.frame_id, trajectory.child_frame_id) == ('world', 'optical')


@pytest.mark.parametrize(
    ('selection', 'expected'),
    [
        (Selection(), list(range(8))),
        (Selection(2, 5), [2, 3, 4]),
        (Selection(6), [6, 7]),
        (Selection(from_s=0.2, to_s=0.4), [2, 3]),
        (Selection(3, from_s=0.2), [3, 4, 5, 6, 7]),
        (Selection(7, 100), [7]),
        (Selection(50), []),
    ],
)
def test_selections(bag, selection, expected):
    assert [f.index for f in read_frames(bag, TOPICS, selection)] == expected


@pytest.mark.parametrize(
    ('first', 'last', 'from_s', 'to_s'),
    [(-1, None, None, None), (3, 3, None, None), (0, None, -1.0, None), (0, None, 2.0, 1.0)],
)
def test_empty_selections_are_refused(first, last, from_s, to_s):
    with pytest.raises(ConfigError):
        Selection(first, last, from_s, to_s)


def test_single_files_and_folders_without_metadata(bag, tmp_path):
    file = shutil.copy(only_file(bag), tmp_path)
    assert len(list(read_frames(file, TOPICS))) == 8
    assert len(list(read_frames(tmp_path, TOPICS))) == 8
    shutil.copy(file, tmp_path / f'second{Path(file).suffix}')
    with pytest.raises(BagError, match='reindex'):
        BagReader(tmp_path)


@pytest.fixture(scope='module')
def ros1_bag(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp('ros1') / 'old.bag'
    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types

    def header(index):
        time = types['builtin_interfaces/msg/Time'](sec=stamp(index) // NSEC,
                                                    nanosec=stamp(index) % NSEC)
        return types['std_msgs/msg/Header'](seq=index, stamp=time, frame_id='/optical')

    with Writer1(path) as writer:
        image = writer.add_connection(TOPICS.image, build.IMAGE, typestore=store)
        info = writer.add_connection(TOPICS.camera_info, build.CAMERA_INFO, typestore=store)
        roi = types['sensor_msgs/msg/RegionOfInterest'](0, 0, 0, 0, False)
        for index in range(4):
            message = types[build.IMAGE](header(index), 24, 32, 'rgb8', 0, 96,
                                         picture(index).ravel())
            writer.write(image, stamp(index), store.serialize_ros1(message, build.IMAGE))
            k = CAMERA.matrix
            message = types[build.CAMERA_INFO](
                header(index), 24, 32, 'plumb_bob', np.zeros(5), k.ravel(), np.eye(3).ravel(),
                np.hstack([k, np.zeros((3, 1))]).ravel(), 0, 0, roi)
            writer.write(info, stamp(index), store.serialize_ros1(message, build.CAMERA_INFO))
    return path


def test_ros_1_bags(ros1_bag):
    with BagReader(ros1_bag) as reader:
        assert find_camera_topics(reader) == TOPICS
        assert find_odometry_topic(reader) is None
        assert find_depth_topic(reader) is None
    frames = list(read_frames(ros1_bag, TOPICS))
    assert [f.stamp_ns for f in frames] == [stamp(i) for i in range(4)]
    np.testing.assert_array_equal(frames[2].image, picture(2))


@pytest.mark.parametrize('share', [0.0, 0.02, 0.2, 0.5, 0.8, 0.97])
@pytest.mark.parametrize('kind', ['mcap', 'sqlite3', 'ros1'])
def test_a_truncated_bag_is_one_clear_line(kind, share, bags, ros1_bag, tmp_path):
    source = ros1_bag if kind == 'ros1' else only_file(bags[Storage(kind)])
    data = source.read_bytes()
    broken = tmp_path / f'broken{source.suffix}'
    broken.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(BagError) as caught:
        list(read_frames(broken, TOPICS))
    assert str(broken) in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('kind', ['mcap', 'sqlite3', 'ros1'])
@pytest.mark.parametrize('seed', range(6))
def test_damaged_bytes_end_in_an_error_of_ours_or_none(kind, seed, bags, ros1_bag, tmp_path):
    source = ros1_bag if kind == 'ros1' else only_file(bags[Storage(kind)])
    data = bytearray(source.read_bytes())
    rng = np.random.default_rng(seed)
    at = int(rng.integers(len(data) - 64))
    data[at : at + 64] = rng.bytes(64)
    broken = tmp_path / f'broken{source.suffix}'
    broken.write_bytes(data)
    with contextlib.suppress(BagError, MessageError, CameraError):
        for frame in read_frames(broken, TOPICS):
            assert frame.image.shape == (24, 32, 3)


def test_what_is_not_a_bag(tmp_path):
    with pytest.raises(BagError, match='does not exist'):
        BagReader(tmp_path / 'nothing')
    with pytest.raises(BagError, match=r'no metadata\.yaml and no bag file'):
        BagReader(tmp_path)
    text = tmp_path / 'notes.txt'
    text.write_text('hello')
    with pytest.raises(BagError, match=r'must end in \.mcap, \.db3, \.bag'):
        BagReader(text)


def test_a_metadata_file_that_lies(bags, tmp_path):
    broken = shutil.copytree(bags[Storage.SQLITE3], tmp_path / 'broken')
    (broken / 'metadata.yaml').write_text('rosbag2_bagfile_information: {version: 9}')
    with pytest.raises(BagError, match='cannot be opened'):
        BagReader(broken)


def test_an_unknown_topic_lists_those_that_are_there(bag):
    with BagReader(bag) as reader, pytest.raises(BagError, match=r'/nowhere.*/cam/camera_info'):
        list(reader.messages(['/nowhere']))
    with BagReader(bag) as reader, pytest.raises(BagError, match=r'/nowhere.*/cam/image_raw'):
        find_camera_topics(reader, '/nowhere')


@pytest.mark.parametrize('storage', list(Storage))
def test_topics_of_types_nobody_knows_do_no_harm(storage, tmp_path):
    plugin = {Storage.MCAP: StoragePlugin.MCAP, Storage.SQLITE3: StoragePlugin.SQLITE3}[storage]
    store = build.typestore()
    own = get_typestore(Stores.ROS2_JAZZY)
    own.register(get_types_from_msg('float64 volume\nstring song', 'band_msgs/msg/Note'))
    with Writer2(tmp_path / 'bag', version=9, storage_plugin=plugin) as writer:
        note = writer.add_connection('/note', 'band_msgs/msg/Note', typestore=own)
        message = own.types['band_msgs/msg/Note'](volume=11.0, song='x')
        writer.write(note, stamp(0), own.serialize_cdr(message, 'band_msgs/msg/Note'))
        broken = writer.add_connection(
            '/broken', 'band_msgs/msg/Riff', msgdef='this is { no definition', rihs01='RIHS01_0')
        writer.write(broken, stamp(0), b'\0\1\0\0abc')
        info = writer.add_connection('/camera_info', build.CAMERA_INFO, typestore=store)
        message = build.camera_info(stamp(0), 'optical', CAMERA)
        writer.write(info, stamp(0), store.serialize_cdr(message, build.CAMERA_INFO))
    with BagReader(tmp_path / 'bag') as reader:
        assert reader.first('/camera_info').width == 32
        assert reader.first('/note').volume == 11.0
        with pytest.raises(BagError, match='band_msgs/msg/Riff'):
            reader.first('/broken')


def test_several_cameras_are_listed_and_one_can_be_chosen(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for side in ('left', 'right'):
            image = build.compressed_image(stamp(0), side, picture(0))
            writer.write(f'/{side}/image/compressed', build.COMPRESSED_IMAGE, stamp(0), image)
            info = build.camera_info(stamp(0), side, CAMERA)
            writer.write(f'/{side}/camera_info', build.CAMERA_INFO, stamp(0), info)
    with BagReader(tmp_path / 'bag') as reader:
        with pytest.raises(BagError, match=r'/left/image/compressed, /right/image/compressed'):
            find_camera_topics(reader)
        expected = CameraTopics('/right/image/compressed', '/right/camera_info')
        for name in ('/right/image', 'right/image', '/right/image/compressed'):
            assert find_camera_topics(reader, name) == expected
        swapped = find_camera_topics(reader, '/right/image', '/left/camera_info')
        assert swapped.camera_info == '/left/camera_info'


def test_raw_and_compressed_copies_of_an_image_are_one_choice(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        raw = build.image(stamp(0), 'optical', picture(0), 'rgb8')
        writer.write('/ns/cam/image', build.IMAGE, stamp(0), raw)
        small = build.compressed_image(stamp(0), 'optical', picture(0))
        writer.write('/ns/cam/image/compressed', build.COMPRESSED_IMAGE, stamp(0), small)
        info = build.camera_info(stamp(0), 'optical', CAMERA)
        writer.write('/ns/camera_info', build.CAMERA_INFO, stamp(0), info)
    with BagReader(tmp_path / 'bag') as reader:
        assert find_camera_topics(reader) == CameraTopics('/ns/cam/image', '/ns/camera_info')


def test_a_bag_without_camera_info_says_so(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        raw = build.image(stamp(0), 'optical', picture(0), 'rgb8')
        writer.write('/image', build.IMAGE, stamp(0), raw)
    with BagReader(tmp_path / 'bag') as reader, pytest.raises(BagError, match='no camera_info'):
        find_camera_topics(reader)


def test_images_take_the_camera_info_of_their_stamp_wherever_it_was_recorded(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for index in range(4):
            image = build.image(stamp(index), 'optical', picture(index), 'rgb8')
            writer.write(TOPICS.image, build.IMAGE, stamp(index), image)
            info = build.camera_info(stamp(index), 'o', make_intrinsics(32, 24, 40.0 + index))
            writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(index) + 1, info)
    frames = list(read_frames(tmp_path / 'bag', TOPICS))
    assert [f.camera.k[0] for f in frames] == [40.0, 41.0, 42.0, 43.0]


def test_one_latched_camera_info_serves_all_images_of_its_size(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for index in range(30):
            image = build.image(stamp(index), 'optical', picture(index), 'rgb8')
            writer.write(TOPICS.image, build.IMAGE, stamp(index), image)
            if index == 5:
                info = build.camera_info(stamp(5) + 77, 'optical', CAMERA)
                writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(5) + 77, info)
    assert len(list(read_frames(tmp_path / 'bag', TOPICS))) == 30


@pytest.mark.parametrize('storage', list(Storage))
def test_camera_info_that_first_comes_late_serves_the_images_before_it(storage, tmp_path):
    """At 1 Hz beside images at 30 Hz, other ones from the second on."""
    with BagWriter(tmp_path / 'bag', storage) as writer:
        for index in range(60):
            image = build.image(stamp(index), 'optical', picture(index), 'rgb8')
            writer.write(TOPICS.image, build.IMAGE, stamp(index), image)
            if index in (21, 51):
                info = build.camera_info(
                    stamp(index) + 77, 'optical', make_intrinsics(32, 24, 19.0 + index)
                )
                writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(index) + 77, info)
    focal_lengths = [f.camera.k[0] for f in read_frames(tmp_path / 'bag', TOPICS)]
    assert focal_lengths[:30] == 30 * [40.0]
    assert focal_lengths[51:] == 9 * [70.0]
    some = read_frames(tmp_path / 'bag', TOPICS, Selection(0, 3))
    assert [f.camera.k[0] for f in some] == 3 * [40.0]


def test_each_image_waits_for_its_own_camera_info_though_one_is_known(tmp_path):
    """Recorded some images after those that they belong to, which begin before them."""
    with BagWriter(tmp_path / 'bag') as writer:
        for index in range(12):
            if index < 8:
                image = build.image(stamp(index), 'optical', picture(index), 'rgb8')
                writer.write(TOPICS.image, build.IMAGE, stamp(index), image)
            if index >= 4:
                own = index - 4
                info = build.camera_info(
                    stamp(own), 'optical', make_intrinsics(32, 24, 40.0 + own)
                )
                writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(index) + 1, info)
    frames = read_frames(tmp_path / 'bag', TOPICS)
    assert [f.camera.k[0] for f in frames] == [40.0 + index for index in range(8)]


def write_infos(path, *frame_ids):
    """Images in frame `optical`, after camera_info in frames of a focal length each."""
    with BagWriter(path) as writer:
        for index in range(4):
            for number, frame_id in enumerate(frame_ids):
                info = build.camera_info(
                    stamp(index), frame_id, make_intrinsics(32, 24, 40.0 + number)
                )
                writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(index), info)
            image = build.image(stamp(index), 'optical', picture(index), 'rgb8')
            writer.write(TOPICS.image, build.IMAGE, stamp(index), image)


def test_cameras_that_share_a_topic_are_told_apart_by_their_frames(tmp_path):
    write_infos(tmp_path / 'bag', 'other', 'optical', 'third')
    assert [f.camera.k[0] for f in read_frames(tmp_path / 'bag', TOPICS)] == 4 * [41.0]
    write_infos(tmp_path / 'none', 'other', 'third')
    with pytest.raises(BagError, match=r"image 0 of /cam/image_raw.*'optical'.*'third'.*'other'"):
        list(read_frames(tmp_path / 'none', TOPICS))


def test_camera_info_of_the_only_other_frame_serves(tmp_path):
    write_infos(tmp_path / 'bag', 'camera_link')
    frames = list(read_frames(tmp_path / 'bag', TOPICS))
    assert [f.camera.frame_id for f in frames] == 4 * ['camera_link']
    assert [f.frame_id for f in frames] == 4 * ['optical']


def test_camera_info_of_another_size_is_no_camera_info(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        image = build.image(stamp(0), 'optical', picture(0), 'rgb8')
        writer.write(TOPICS.image, build.IMAGE, stamp(0), image)
        info = build.camera_info(stamp(0), 'optical', make_intrinsics(640, 480))
        writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(0), info)
    with pytest.raises(BagError, match=r'32x24.*640x480'):
        list(read_frames(tmp_path / 'bag', TOPICS))


def test_an_undecodable_image_is_named(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        image = build.image(stamp(0), 'optical', picture(0), 'rgb8')
        image.encoding = '64FC9'
        writer.write(TOPICS.image, build.IMAGE, stamp(0), image)
        info = build.camera_info(stamp(0), 'optical', CAMERA)
        writer.write(TOPICS.camera_info, build.CAMERA_INFO, stamp(0), info)
    with pytest.raises(MessageError, match=r'/cam/image_raw.*image 0.*64FC9'):
        list(read_frames(tmp_path / 'bag', TOPICS))


def test_odometry_of_the_body_is_moved_to_the_camera_by_static_transforms(tmp_path):
    base_T_mast, camera_T_mast = np.eye(4), np.eye(4)
    base_T_mast[:3, 3] = (0.2, 0.0, 0.5)
    camera_T_mast[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    with BagWriter(tmp_path / 'bag') as writer:
        odometry = build.odometry(stamp(0), 'odom', 'base_link', pose(3))
        writer.write('/odom', build.ODOMETRY, stamp(0), odometry)
        for parent, child, matrix in (
            ('base_link', 'mast', base_T_mast),
            ('optical', 'mast', camera_T_mast),
        ):
            message = build.transform(stamp(0), parent, child, matrix)
            writer.write('/tf_static', build.TRANSFORMS, stamp(0), message)
    moved = read_trajectory(tmp_path / 'bag', '/odom', 'optical')
    expected = pose(3) @ base_T_mast @ np.linalg.inv(camera_T_mast)
    np.testing.assert_allclose(moved.world_T_cam[0], expected, atol=1e-9)
    assert moved.child_frame_id == 'optical'
    unmoved = read_trajectory(tmp_path / 'bag', '/odom', 'elsewhere')
    np.testing.assert_allclose(unmoved.world_T_cam[0], pose(3), atol=1e-9)
    assert unmoved.child_frame_id == 'base_link'


def test_stamped_poses_are_a_trajectory_too(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for index in (2, 0, 1):
            message = build.pose_stamped(stamp(index), 'map', pose(index))
            writer.write('/pose', build.POSE, stamp(index), message)
    trajectory = read_trajectory(tmp_path / 'bag', '/pose')
    np.testing.assert_allclose(trajectory.world_T_cam, [pose(i) for i in range(3)], atol=1e-9)


@pytest.mark.parametrize(
    ('kinds', 'found'),
    [
        ({'/odom': build.ODOMETRY, '/goal_pose': build.POSE}, '/odom'),
        ({'/odom': build.ODOMETRY, '/mocap/pose': build.POSE}, '/odom'),
        ({'/pose': build.POSE, '/move_base_simple/goal': build.POSE}, '/pose'),
        ({'/pose': build.POSE, '/desired/odom': build.ODOMETRY}, '/pose'),
        ({'/reference/odom': build.ODOMETRY}, '/reference/odom'),
        ({'/goal_pose': build.POSE, '/mavros/setpoint_position/local': build.POSE}, None),
    ],
)
def test_odometry_is_found_before_poses_and_never_goals(tmp_path, kinds, found):
    with BagWriter(tmp_path / 'bag') as writer:
        for topic, kind in kinds.items():
            message = (
                build.pose_stamped(stamp(0), 'map', pose(0)) if kind == build.POSE
                else build.odometry(stamp(0), 'odom', 'base_link', pose(0))
            )  # fmt: skip
            writer.write(topic, kind, stamp(0), message)
    with BagReader(tmp_path / 'bag') as reader:
        assert find_odometry_topic(reader) == found
        for topic in kinds:
            assert find_odometry_topic(reader, topic) == topic


def test_several_measured_odometries_are_a_choice(tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        for topic in ('/wheels/odom', '/lidar/odom', '/goal_odom'):
            message = build.odometry(stamp(0), 'odom', 'base_link', pose(0))
            writer.write(topic, build.ODOMETRY, stamp(0), message)
    with (
        BagReader(tmp_path / 'bag') as reader,
        pytest.raises(BagError, match=r'2 odometry topics.*: /lidar/odom, /wheels/odom$'),
    ):
        find_odometry_topic(reader)


def write_badly(path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise error

    with BagWriter(path) as writer:
        write_frame(writer, 0)
        monkeypatch.setattr('rosbags.rosbag2.Writer.write', fail)
        write_frame(writer, 1)


@pytest.mark.parametrize('storage', list(Storage))
def test_static_transforms_are_played_as_latched(storage, tmp_path):
    with BagWriter(tmp_path / 'bag', storage) as writer:
        for topic in ('/tf', '/tf_static'):
            message = build.transform(stamp(0), 'base_link', 'optical', pose(0))
            writer.write(topic, build.TRANSFORMS, stamp(0), message)
    metadata = yaml.safe_load((tmp_path / 'bag' / 'metadata.yaml').read_text())
    listed = metadata['rosbag2_bagfile_information']['topics_with_message_count']
    offers = {topic['topic_metadata']['name']: topic['topic_metadata']['offered_qos_profiles']
              for topic in listed}
    assert offers['/tf'] == []
    (offer,) = offers['/tf_static']
    assert offer['durability'] == 'transient_local'
    assert offer['reliability'] == 'reliable'
    assert (offer['history'], offer['depth']) == ('keep_last', 1)
    for path in (tmp_path / 'bag', only_file(tmp_path / 'bag')):  # the file says it too
        with Reader2(path) as reader:
            (connection,) = [c for c in reader.connections if c.topic == '/tf_static']
            (recorded,) = connection.ext.offered_qos_profiles
            assert recorded.durability is QosDurability.TRANSIENT_LOCAL
        with BagReader(path) as reader:
            assert reader.first('/tf_static').transforms[0].child_frame_id == 'optical'


def test_an_error_while_writing_leaves_nothing_behind(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match='stop'):
        write_badly(tmp_path / 'bag', RuntimeError('stop'), monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_a_bag_is_opened_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr('rosbags.rosbag2.Writer.open', Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_bag(tmp_path / 'bag')
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_clear_line_and_leaves_nothing_behind(tmp_path, monkeypatch):
    with pytest.raises(BagError, match='No space left'):
        write_badly(tmp_path / 'bag', OSError(28, 'No space left on device'), monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_existing_bags_are_not_overwritten(bag):
    with pytest.raises(BagError, match='exists already'):
        BagWriter(bag)


@pytest.mark.parametrize(
    ('name', 'images', 'depth', 'odometry'),
    [('kitchen', 350, True, True), ('road', 51, False, True)],
)
def test_the_real_bags(name, images, depth, odometry):
    path = shared_bag(name)
    with BagReader(path) as reader:
        topics = find_camera_topics(reader)
        assert reader.topic(topics.image).count == images
        assert (find_depth_topic(reader) is not None) is depth
        assert (find_odometry_topic(reader) is not None) is odometry
    frame = next(read_frames(path, topics, Selection(40)))
    assert frame.index == 40
    assert frame.image.shape == (frame.camera.height, frame.camera.width, 3)
    assert 40 < frame.image.mean() < 200


def test_the_real_stereo_bag_lists_both_cameras():
    path = shared_bag('street')
    with BagReader(path) as reader:
        with pytest.raises(BagError, match='/stereo/left/image_rect_color/compressed, /stereo'):
            find_camera_topics(reader)
        topics = find_camera_topics(reader, '/stereo/right/image_rect_color')
    frame = next(read_frames(path, topics))
    assert frame.camera.baseline_m == pytest.approx(0.533, abs=1e-3)
