"""Bags that claim more than they hold, or lead elsewhere, are refused before they cost memory."""

import resource
import sqlite3
import struct
import subprocess
import sys

import lz4.frame
import numpy as np
import pytest
import recordings
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, storage_mcap

from depth_ros.bags import BagReader, read_frames
from depth_ros.bags.bounds import LARGEST_CHUNK_BYTES, unpack_lz4, unpack_zstd, zstd
from depth_ros.bags.topics import CameraTopics
from depth_ros.bags.writer import Storage
from depth_ros.errors import BagError, DepthRosError
from depth_ros.messages import bag_messages as build
from depth_ros.messages.images import image_to_rgb

TOPICS = CameraTopics('/image', '/camera_info')
BOMB_BYTES = 1 << 28
LEAST_MIB = 1 << 10
PACKERS = {
    'lz4': (lz4.frame.compress, unpack_lz4),
    'zstd': (zstd.compress, unpack_zstd),
}


def read_all(path):
    with BagReader(path) as reader:
        for _ in reader.messages([topic.name for topic in reader.topics]):
            pass


def mcap_of(chunk, compression, claimed):
    """An MCAP file of one chunk, without index (https://mcap.dev/spec)."""

    def string(text):
        return struct.pack('<I', len(text)) + text.encode()

    def record(kind, content):
        return bytes([kind]) + struct.pack('<Q', len(content)) + content

    body = struct.pack('<QQQI', 1, 1, claimed, 0) + string(compression)
    body += struct.pack('<Q', len(chunk)) + chunk
    magic = b'\x89MCAP0\r\n'
    header, footer = record(1, string('ros2') + string('test')), record(2, bytes(20))
    return magic + header + record(6, body) + footer + magic


@pytest.mark.parametrize('compression', PACKERS)
def test_chunks_are_unpacked_as_far_as_they_claim(compression):
    pack, unpack = PACKERS[compression]
    assert storage_mcap.DECOMPRESSORS[compression] is unpack
    content = bytes(range(256)) * 1000
    assert unpack(pack(content), len(content)) == content
    assert len(unpack(pack(bytes(BOMB_BYTES)), 1000)) == 1001
    with pytest.raises(ValueError, match='allowed'):
        unpack(pack(content), LARGEST_CHUNK_BYTES + 1)


@pytest.mark.parametrize('compression', PACKERS)
@pytest.mark.parametrize('claimed', [1000, 1 << 40, 2**63 - 1])
def test_a_chunk_that_lies_is_a_damaged_bag(tmp_path, compression, claimed):
    path = tmp_path / 'bomb.mcap'
    path.write_bytes(mcap_of(PACKERS[compression][0](bytes(BOMB_BYTES)), compression, claimed))
    with pytest.raises(BagError, match=r'cannot be opened: .*(mismatch|allowed)'):
        read_all(path)


def compute_messages(file):
    """Make every message of a sqlite3 file one that is computed, of BOMB_BYTES."""
    with sqlite3.connect(file) as database:
        database.executescript(f'''
            CREATE TABLE other AS SELECT id, topic_id, timestamp FROM messages;
            DROP TABLE messages;
            CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER,
                data BLOB GENERATED ALWAYS AS (zeroblob({BOMB_BYTES})) VIRTUAL);
            INSERT INTO messages(id, topic_id, timestamp) SELECT * FROM other;
            DROP TABLE other;
        ''')


def test_a_message_that_the_file_computes_is_not_computed(tmp_path):
    path = recordings.write_recording(tmp_path / 'bag', 2, depth=False, odometry=False,
                                      storage=Storage.SQLITE3)
    compute_messages(next(path.glob('*.db3')))
    with pytest.raises(BagError, match='too big'):
        read_all(path)


def write_packed(path, mode, size):
    """A sqlite3 bag, packed as a recorder does it, of images of size x size random pixels."""
    pictures = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    store = build.typestore()
    with writer:
        topic = writer.add_connection('/image', build.IMAGE, typestore=store)
        for stamp, picture in enumerate(pictures):
            message = build.image(stamp, 'camera', picture, 'rgb8')
            writer.write(topic, stamp, store.serialize_cdr(message, build.IMAGE))
    return pictures


@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_messages_of_packed_files_may_be_long(tmp_path, mode):
    pictures = write_packed(tmp_path / 'bag', mode, 700)
    with BagReader(tmp_path / 'bag') as reader:
        read = [image_to_rgb(message) for _, _, message in reader.messages(['/image'])]
    np.testing.assert_array_equal(read, pictures)


def test_a_packed_message_that_the_file_computes_is_not_computed(tmp_path):
    write_packed(tmp_path / 'bag', CompressionMode.FILE, 8)
    (packed,) = tmp_path.glob('bag/*.db3.zstd')
    plain = tmp_path / 'plain.db3'
    plain.write_bytes(zstd.decompress(packed.read_bytes()))
    compute_messages(plain)
    packed.write_bytes(zstd.compress(plain.read_bytes()))
    with pytest.raises(BagError, match='too big'):
        read_all(tmp_path / 'bag')


@pytest.mark.parametrize('storage', list(Storage))
def test_every_claim_of_a_bag_costs_little_memory(tmp_path, storage):
    """Lengths in the file, set to the largest numbers one after another."""
    path = recordings.write_recording(tmp_path / 'bag', 2, odometry=False, storage=storage)
    code = f"""
import resource, sys
from pathlib import Path
from test_bag_bounds import read_claims
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
read_claims(Path({str(path)!r}))
# Of this program alone: ru_maxrss also knows the process that it was forked from.
print(int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) // 1024)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          cwd=recordings.__file__.rpartition('/')[0])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < LEAST_MIB


def read_claims(path):
    """See test_every_claim_of_a_bag_costs_little_memory; in a process of its own."""
    file = next(f for f in path.iterdir() if f.suffix in ('.mcap', '.db3'))
    good = file.read_bytes()
    for at in range(0, min(len(good) - 8, 3000), 101):
        for claim in (b'\xff\xff\xff\x7f', struct.pack('<Q', 1 << 36)):
            file.write_bytes(good[:at] + claim + good[at + len(claim):])
            try:
                for _ in read_frames(path, TOPICS):
                    pass
            except DepthRosError:
                pass
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == 4 << 30


def test_a_bag_does_not_lead_out_of_its_folder(tmp_path):
    real = recordings.write_recording(tmp_path / 'elsewhere', 2)
    path = tmp_path / 'bag'
    path.mkdir()
    (path / 'metadata.yaml').write_bytes((real / 'metadata.yaml').read_bytes())
    (path / 'elsewhere.mcap').symlink_to(real / 'elsewhere.mcap')
    with pytest.raises(BagError, match=r'elsewhere\.mcap is a link to .*outside its folder'):
        BagReader(path)
    (path / 'elsewhere.mcap').unlink()
    text = (real / 'metadata.yaml').read_text()
    for name in ('../elsewhere/elsewhere.mcap', str(real / 'elsewhere.mcap'), '..'):
        (path / 'metadata.yaml').write_text(text.replace('elsewhere.mcap', name))
        with pytest.raises(BagError):
            BagReader(path)


@pytest.mark.parametrize('name', ['bag.db3.zstd', 'anything'])
def test_a_packed_file_does_not_lead_out_of_its_folder(tmp_path, name):
    write_packed(tmp_path / 'bag', CompressionMode.FILE, 8)
    (packed,) = tmp_path.glob('bag/*.db3.zstd')
    outside = packed.rename(tmp_path / 'outside.zstd')
    (tmp_path / 'bag' / name).symlink_to(outside)
    metadata = tmp_path / 'bag' / 'metadata.yaml'
    metadata.write_text(metadata.read_text().replace(packed.name, name))
    with pytest.raises(BagError, match=rf'{name} is a link to .*outside its folder'):
        BagReader(tmp_path / 'bag')


def test_links_inside_a_bag_and_to_other_folders_do_no_harm(tmp_path):
    path = recordings.write_recording(tmp_path / 'bag', 2)
    (path / 'latest').symlink_to('bag.mcap')
    (path / 'report').symlink_to(tmp_path)
    read_all(path)


def test_a_link_to_a_whole_bag_is_as_good_as_the_bag(tmp_path):
    recordings.write_recording(tmp_path / 'bag', 2)
    (tmp_path / 'link').symlink_to(tmp_path / 'bag')
    read_all(tmp_path / 'link')


def test_metadata_makes_no_objects(tmp_path):
    path = recordings.write_recording(tmp_path / 'bag', 2)
    witness = tmp_path / 'it was run'
    text = (path / 'metadata.yaml').read_text()
    (path / 'metadata.yaml').write_text(
        f'x: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path '
        f'[{str(witness)!r}]]\n{text}')
    with pytest.raises(BagError):
        BagReader(path)
    assert not witness.exists()
