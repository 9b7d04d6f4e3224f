"""The report of the paper's two experiments: report.md with its pictures, and report.html.

It is made from the results alone (what results.json holds), so it can be made again from them,
and a part whose numbers are absent is left out.
"""

from pathlib import Path

from tinyembed.report.blocks import Heading, Picture, to_markdown
from tinyembed.report.html import html_page
from tinyembed.report.pictures import draw_all
from tinyembed.report.sections import SECTIONS, TITLE
from tinyembed.storage.files import write_atomically


def write_report(folder, results):
    """Write report.md, report.html and the PNGs they show into a folder that exists.

    results: the dict of results.json.
    """
    folder = Path(folder)
    drawn = draw_all(folder, results)
    blocks = [block for section in SECTIONS for block in section(results)]
    blocks = without_gaps(blocks, drawn)
    markdown, page = to_markdown(blocks), html_page(TITLE, blocks, folder)
    for name, text in ("report.md", markdown), ("report.html", page):
        write_atomically(folder / name, lambda file, text=text: file.write(text.encode()))


def without_gaps(blocks, drawn):
    """Leave out what is None, pictures that were not drawn, and then headings over nothing."""
    kept = []
    for block in reversed(blocks):
        if block is None or (isinstance(block, Picture) and block.file not in drawn):
            continue
        below = kept[-1] if kept else Heading("the end", 1)
        if isinstance(block, Heading) and isinstance(below, Heading):
            if block.level >= below.level:
                continue
        kept.append(block)
    return kept[::-1]
