"""The protobuf walk agrees with the onnx package and refuses everything else."""

import contextlib

import graphs
import onnx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from depth_ros.errors import ModelError
from depth_ros.model_folder.onnx_metadata import read_data_files, read_metadata

FUNCTION_FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUNCTION_FIXTURE
@given(st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=300), max_size=4))
def test_reads_what_onnx_wrote(tmp_path, entries):
    graph = graphs.depth_graph(graphs.spec())
    onnx.helper.set_model_props(graph, entries)
    onnx.save(graph, tmp_path / 'a.onnx')
    assert read_metadata(tmp_path / 'a.onnx') == entries


@FUNCTION_FIXTURE
@given(st.binary(max_size=200))
@example(b'=\x00\x00\x00\x00')  # a graph that is a number
def test_refuses_garbage(tmp_path, content):
    path = tmp_path / 'garbage.onnx'
    path.write_bytes(content)
    with pytest.raises(ModelError, match='damaged or no ONNX file') as caught:
        read_metadata(path)
    assert '\n' not in str(caught.value)


def test_refuses_a_file_cut_inside_its_graph(tmp_path):
    whole = graphs.depth_graph(graphs.spec()).SerializeToString()
    path = tmp_path / 'cut.onnx'
    for length in range(0, len(whole) - 40, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_metadata(path)


def test_refuses_a_git_lfs_pointer(tmp_path):
    path = tmp_path / 'depth.onnx'
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 10\n')
    with pytest.raises(ModelError, match='no ONNX file'):
        read_metadata(path)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match='No such file'):
        read_metadata(tmp_path / 'none.onnx')


@FUNCTION_FIXTURE
@given(st.binary(max_size=200))
@example(b'\x3a\x04\x2a\x02\x6a\x00')  # a graph with a tensor with an empty entry
def test_garbage_names_no_files(tmp_path, content):
    path = tmp_path / 'garbage.onnx'
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        assert read_data_files(path) == frozenset()


def test_graphs_within_graphs_end_somewhere(tmp_path):
    """Each a node with an attribute that is a graph."""
    inner = b''
    for _ in range(200):
        for tag in (b'\x32', b'\x2a', b'\x0a'):  # attribute.g, node.attribute, graph.node
            inner = tag + _varint(len(inner)) + inner
    path = tmp_path / 'deep.onnx'
    path.write_bytes(b'\x3a' + _varint(len(inner)) + inner)
    with pytest.raises(ModelError, match='more than 64 messages within each other'):
        read_data_files(path)


def _varint(value: int) -> bytes:
    digits = b''
    while value >= 0x80:
        digits += bytes([value & 0x7F | 0x80])
        value >>= 7
    return digits + bytes([value])
