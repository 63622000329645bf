"""Report pages: well-formed, escaped, self-contained; plots put points where they belong."""

import base64
import re
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest

from depth_ros.evaluation.plots import Series, line_plot, path_plot
from depth_ros.evaluation.report import (
    Page,
    Picture,
    heading,
    note,
    paragraph,
    pictures,
    table,
)
from depth_ros.system.whole_files import write_whole

SVG = '{http://www.w3.org/2000/svg}'


def points_of(polyline):
    return np.array([[float(value) for value in pair.split(',')]
                     for pair in polyline.get('points').split()])


def test_page_is_one_escaped_document_without_links():
    page = Page('Depth of <kitchen>', 'a & b')
    page.add(heading('<Figures>'), paragraph('x < y'), note('"quoted"'),
             table(('<a>',), [('<b>',)]))
    document = page.to_html()
    assert document.startswith('<!DOCTYPE html>')
    for text in ('Depth of &lt;kitchen&gt;', 'a &amp; b', '&lt;Figures&gt;', 'x &lt; y',
                 '&lt;a&gt;', '&lt;b&gt;'):
        assert text in document
    assert not re.search(r'(src|href)="(?!data:)', document)


def test_table_has_a_cell_for_each_column():
    rows = ET.fromstring(table(('', 'AbsRel'), [('model', '0.1'), ('guess', '0.2')], strong=[0]))
    assert [[cell.text for cell in row] for row in rows.iter('tr')] == [
        [None, 'AbsRel'], ['model', '0.1'], ['guess', '0.2']]
    assert [row.get('class') for row in rows.iter('tr')] == [None, 'strong', None]
    with pytest.raises(ValueError, match='1 cells for 2 columns'):
        table(('a', 'b'), [('only',)])


@pytest.mark.parametrize('shape', [(60, 1000, 3), (20, 30, 3), (20, 30)])
def test_pictures_are_embedded_in_their_colours(shape):
    image = np.zeros(shape, np.uint8)
    image[..., :1] = 200
    figure = ET.fromstring(pictures([Picture(image, 'red & grey')], max_width=500))
    assert figure.find('.//figcaption').text == 'red & grey'
    kind, data = figure.find('.//img').get('src').split(',')
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert kind == 'data:image/jpeg;base64'
    assert decoded.shape[:2] == (shape[0] * min(shape[1], 500) // shape[1], min(shape[1], 500))
    if len(shape) == 3:
        assert abs(int(decoded[5, 5, 2]) - 200) < 8
        assert decoded[5, 5, 0] < 20


def test_line_plot_is_interrupted_where_values_are_missing():
    y = np.array([0.0, 1.0, np.nan, 2.0, 3.0, 4.0])
    svg = ET.fromstring(line_plot([Series('a < b', np.arange(6.0), y)], 'time [s]', 'depth [m]'))
    lines = [points_of(line) for line in svg.iter('polyline')]
    assert [len(line) for line in lines] == [2, 3]
    assert lines[1][-1, 0] > lines[0][0, 0]
    assert lines[1][-1, 1] < lines[0][0, 1]
    texts = [text.text for text in svg.iter('text')]
    assert {'a < b', 'time [s]', 'depth [m]'} <= set(texts)


def test_path_plot_has_equal_scales():
    square = Series('square', np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    svg = ET.fromstring(path_plot([square], 'x', 'z', width=700, height=300))
    corners = points_of(next(svg.iter('polyline')))
    sides = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    np.testing.assert_allclose(sides, sides[0], atol=0.2)
    start = next(svg.iter('circle'))
    assert [float(start.get('cx')), float(start.get('cy'))] == pytest.approx(corners[0].tolist())


@pytest.mark.parametrize('y', [np.zeros(3), np.full(3, np.nan), np.array([1e9, -1e9, 0.0]),
                               np.full(3, 1e-9), np.full(3, -5.0)])
@pytest.mark.parametrize('plot', [line_plot, path_plot])
def test_plots_of_degenerate_values_stay_inside(plot, y):
    svg = ET.fromstring(plot([Series('y', np.arange(3.0), y)], 'x', 'y', width=400, height=200))
    for line in svg.iter('polyline'):
        points = points_of(line)
        assert points.min() >= 0.0
        assert points[:, 0].max() <= 400.0
        assert points[:, 1].max() <= 200.0


def test_ticks_are_round_numbers():
    svg = ET.fromstring(line_plot([Series('y', np.array([0.0, 9.7]), np.array([0.0, 0.31]))],
                                  '', ''))
    ticks = {text.text for text in svg.iter('text')}
    assert {'0', '2', '4', '6', '8', '0.1', '0.2', '0.3'} <= ticks


def test_writing_replaces_the_whole_file_or_nothing(tmp_path):
    path = tmp_path / 'index.html'
    write_whole(path, 'old')
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, 'new' * 100_000 + '\ud800')
    assert path.read_text() == 'old'
    Page('new').write(path)
    assert '<h1>new</h1>' in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ['index.html']
