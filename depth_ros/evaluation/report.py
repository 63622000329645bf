"""Pages of tables, pictures and plots: one HTML file that needs no other file and no network.

    page = Page('Depth on kitchen')
    page.add(heading('Figures'), table(('guess', 'AbsRel'), [('constant', '0.337')]))
    page.add(pictures([Picture(rgb, 'input')]), plots.path_plot(...))
    page.write(folder / 'index.html')
"""

from __future__ import annotations

import base64
import enum
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

import cv2
import numpy as np

from depth_ros.system.whole_files import write_whole

Html = NewType('Html', str)
"""A finished piece of a page; plain text becomes one only through the builders, which escape."""

_STYLE = """
:root { color-scheme: light; }
body { margin: 2.5rem auto; max-width: 64rem; padding: 0 1.25rem; background: #fff; color: #1d2430;
       font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #e3e7ee;
     padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.3rem 0 .3rem; }
p { margin: .5rem 0; }
.verdict { font-size: 1.1rem; border-left: 4px solid #2e86ab; padding-left: .8rem; }
.lead, figcaption, .note { color: #5a6577; }
.note { font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .3rem .75rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: .3rem; }
thead th { border-bottom: 2px solid #c9d1dd; font-weight: 600; }
tbody tr:nth-child(even) { background: #f6f8fb; }
tr.strong td { font-weight: 600; }
td.good { color: #1a7f37; font-weight: 600; }
td.bad { color: #c4342b; font-weight: 600; }
.row { display: flex; flex-wrap: wrap; gap: .75rem; margin: .75rem 0; }
figure { margin: 0; flex: 1 1 14rem; min-width: 0; }
figure img { width: 100%; display: block; border-radius: 4px; }
@media (min-width: 40rem) {
  .columns { display: grid; grid-template-columns: repeat(var(--columns), minmax(0, 1fr));
             width: min(94vw, 92rem); margin-left: calc(50% - min(47vw, 46rem)); }
}
figcaption { font-size: .85rem; margin-top: .2rem; }
svg { max-width: 100%; height: auto; }
"""


class Tone(enum.Enum):
    """What a cell of a table says besides its text."""

    PLAIN = ''
    GOOD = 'good'
    BAD = 'bad'


@dataclass(frozen=True)
class Picture:
    """An image with what stands below it: uint8 [H, W, 3] RGB or [H, W] grey.

    `lossless` embeds it as PNG, for points and lines that JPEG would smear.
    """

    image: np.ndarray
    caption: str
    lossless: bool = False


class Page:
    """A page that grows from top to bottom and is written once."""

    def __init__(self, title: str, lead: str = ''):
        self.title = title
        self._parts: list[str] = [f'<h1>{html.escape(title)}</h1>']
        if lead:
            self._parts.append(f'<p class="lead">{html.escape(lead)}</p>')

    def add(self, *parts: Html) -> None:
        """Append pieces made by the builders of this module and of plots.py."""
        self._parts.extend(parts)

    def to_html(self) -> str:
        """Return the whole document."""
        body = '\n'.join(self._parts)
        return ('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
                '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
                f'<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style>\n</head>\n'
                f'<body>\n{body}\n</body>\n</html>\n')

    def write(self, path: Path) -> None:
        """Write the document; a reader sees the old file or the whole new one."""
        write_whole(path, self.to_html())


def heading(text: str) -> Html:
    """Return a section's heading."""
    return Html(f'<h2>{html.escape(text)}</h2>')


def subheading(text: str) -> Html:
    """Return the heading of a part of a section."""
    return Html(f'<h3>{html.escape(text)}</h3>')


def lead(text: str) -> Html:
    """Return the paragraph that says the most important thing first."""
    return Html(f'<p class="verdict">{html.escape(text)}</p>')


def paragraph(text: str) -> Html:
    """Return a paragraph of plain text."""
    return Html(f'<p>{html.escape(text)}</p>')


def note(text: str) -> Html:
    """Return a paragraph in small print: how a figure was made."""
    return Html(f'<p class="note">{html.escape(text)}</p>')


def table(columns: Sequence[str], rows: Sequence[Sequence[str]],
          strong: Sequence[int] = (),
          tones: Mapping[tuple[int, int], Tone] | None = None) -> Html:
    """Return a table of plain texts; the first column names the row, `strong` rows stand out.

    `tones` colours cells, by row and column.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f'row {row!r} has {len(row)} cells for {len(columns)} columns')
    tones = tones or {}
    head = ''.join(f'<th>{html.escape(name)}</th>' for name in columns)
    strong_class = ' class="strong"'
    body = ''.join(
        f'<tr{strong_class if index in strong else ""}>'
        + ''.join(_cell(text, tones.get((index, column), Tone.PLAIN))
                  for column, text in enumerate(row)) + '</tr>\n'
        for index, row in enumerate(rows))
    return Html(f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
                f'<tbody>{body}</tbody></table></div>')


def pictures(row: Sequence[Picture], max_width: int = 480, jpeg_quality: int = 88,
             columns: int = 0) -> Html:
    """Return pictures side by side, embedded no wider than `max_width` pixels.

    With `columns`, in cells of that many equal columns over the width of the window, so that
    rows stand exactly below each other; without, as they fit.
    """
    figures = ''.join(
        f'<figure><img alt="{html.escape(picture.caption)}" '
        f'src="{_embedded(picture, max_width, jpeg_quality)}"/>'
        f'<figcaption>{html.escape(picture.caption)}</figcaption></figure>' for picture in row)
    grid = f' columns" style="--columns: {columns}' if columns else ''
    return Html(f'<div class="row{grid}">{figures}</div>')


def _cell(text: str, tone: Tone) -> str:
    kind = '' if tone is Tone.PLAIN else f' class="{tone.value}"'
    return f'<td{kind}>{html.escape(text)}</td>'


def _embedded(picture: Picture, max_width: int, quality: int) -> str:
    """The picture as a data URL."""
    image = picture.image
    height, width = image.shape[:2]
    if width > max_width:
        size = (max_width, max(1, round(height * max_width / width)))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    if picture.lossless:
        kind, (_, data) = 'png', cv2.imencode('.png', image)
    else:
        kind = 'jpeg'
        _, data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return f'data:image/{kind};base64,{base64.b64encode(data.tobytes()).decode("ascii")}'
