"""Arrays of others: exactly what was written, or one line that says what is wrong."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from depth_ros.errors import ModelError
from depth_ros.model_folder.npz import read_npz

LIMIT = 1 << 20


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def header(shape, descr='<f4'):
    text = repr({'descr': descr, 'fortran_order': False, 'shape': shape}).encode()
    text += b' ' * (-(len(text) + 11) % 64) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text


def archive(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, 'w', compression) as file:
        for name, content in members.items():
            file.writestr(f'{name}.npy', content)
    return path


@given(array=arrays.arrays(
    st.sampled_from([np.float32, np.float16, np.uint8, np.int64, np.bool_]),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
), fortran=st.booleans())
def test_reads_what_numpy_wrote(tmp_path_factory, array, fortran):
    path = tmp_path_factory.mktemp('npz') / 'a.npz'
    np.savez_compressed(path, a=array.copy(order='F' if fortran else 'C'), b=array[..., None])
    read = read_npz(path, LIMIT)
    assert list(read) == ['a', 'b']
    assert (read['a'].dtype, read['a'].shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read['a'], array)
    assert read['a'].flags.writeable


@pytest.mark.parametrize('shape', [
    (1 << 40,), (1 << 31, 1 << 31), (1 << 62, 1 << 62, 1 << 62), (0, 1 << 62), (-1,), (3,)])
def test_claimed_shapes_are_not_allocated(tmp_path, shape):
    path = archive(tmp_path / 'a.npz', image=header(shape) + bytes(16))
    with pytest.raises(ModelError, match='claims the shape'):
        read_npz(path, LIMIT)


def test_what_unpacks_to_more_than_is_allowed_is_not_unpacked(tmp_path):
    path = archive(tmp_path / 'a.npz', zipfile.ZIP_DEFLATED, zeros=npy(np.zeros(4 * LIMIT, 'u1')))
    assert path.stat().st_size < LIMIT // 10
    with pytest.raises(ModelError, match=f'unpacks to .* allowed: {LIMIT}'):
        read_npz(path, LIMIT)


def test_a_directory_that_lies_about_the_unpacked_size(tmp_path):
    content = npy(np.zeros(4 * LIMIT, 'u1'))
    path = archive(tmp_path / 'a.npz', zipfile.ZIP_DEFLATED, zeros=content)
    true, claimed = struct.pack('<I', len(content)), struct.pack('<I', 1000)
    path.write_bytes(path.read_bytes().replace(true, claimed))
    with pytest.raises(ModelError, match='damaged'):
        read_npz(path, LIMIT)


class Exploit:
    def __reduce__(self):
        return exec, ('raise SystemExit("it was run")',)


def test_objects_are_not_made(tmp_path):
    content = header((1,), '|O') + pickle.dumps([Exploit()])
    with pytest.raises(ModelError, match='holds objects'):
        read_npz(archive(tmp_path / 'a.npz', image=content), LIMIT)


@pytest.mark.parametrize('content', [b'', b'PK nothing', b'\x93NUMPY'])
def test_what_is_no_archive(tmp_path, content):
    path = tmp_path / 'a.npz'
    path.write_bytes(content)
    with pytest.raises(ModelError, match='damaged'):
        read_npz(path, LIMIT)
    with pytest.raises(ModelError, match='damaged'):
        read_npz(archive(path, image=content), LIMIT)
