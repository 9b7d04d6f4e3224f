"""The report of the paper's two experiments: report.md with its pictures, and report.html.

It is made from the contents of results.json alone. Parts without results are left out.
"""

from pathlib import Path

from tinyembed.report.blocks import Bullets, Heading, Picture, Table, to_markdown
from tinyembed.report.html import html_page
from tinyembed.report.pictures import draw_all
from tinyembed.report.sections import SECTIONS, TITLE
from tinyembed.storage.files import write_atomically


def write_report(folder, results):
    """Write report.md, report.html and their pictures into an existing folder.

    results: the contents of results.json.
    """
    folder = Path(folder)
    drawn = draw_all(folder, results)
    blocks = without_gaps([b for section in SECTIONS for b in section(results)], drawn)
    markdown, page = to_markdown(blocks), html_page(TITLE, blocks, folder)
    for name, text in ("report.md", markdown), ("report.html", page):
        write_atomically(folder / name, lambda file, text=text: file.write(text.encode()))


def without_gaps(blocks, drawn):
    """The blocks that show something: pictures that were drawn, tables with rows, lists with items.

    drawn: the files of the pictures. Headings of sections that become empty are left out too.
    """
    kept = []
    for block in reversed(blocks):
        below = kept[-1] if kept else Heading("the end", 1)
        match block:
            case None | Table(rows=[]) | Bullets(items=[]):
                continue
            case Picture(file=file) if file not in drawn:
                continue
            case Heading(level=level) if isinstance(below, Heading) and level >= below.level:
                continue
        kept.append(block)
    return kept[::-1]
