"""The links between pages: the table of contents in README.md, and the end of each chapter.

Both are rewritten whenever a page is, from the pages themselves. A chapter's title is its heading,
its line in the table is the paragraph below it, its reading time is what the page says in minutes,
and the page's first line names its thumbnail.
"""

import re
from pathlib import Path

from tinyembed.storage.files import write_atomically

FOLDER = Path(__file__).resolve().parent
BEGIN, END = "<!-- contents: written by build.py -->", "<!-- end of contents -->"
PARTS = {  # the number of its first chapter: what the part is about
    "01": "Music as numbers",
    "02": "Layers and their gradients",
    "07": "Training",
    "10": "What the numbers are good for",
    "13": "Appendices",
}


def chapters():
    """The scripts of all chapters, in order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.py"))


def write_contents():
    """Bring README.md and the last line of every page up to date."""
    pages = [page for script in chapters() if (page := script.with_suffix(".md")).exists()]
    headings = [heading(page) for page in pages]
    for i, page in enumerate(pages):
        body = page.read_text().partition(f"\n{BEGIN}")[0].rstrip()
        links = ["[All chapters](README.md)"]
        if i > 0:
            links.insert(0, f"← [{headings[i - 1][0]}]({pages[i - 1].name})")
        if i + 1 < len(pages):
            links.append(f"[{headings[i + 1][0]}]({pages[i + 1].name}) →")
        replace(page, f"{body}\n\n{BEGIN}\n\n---\n\n{' · '.join(links)}\n")

    lines, total = [], 0
    for page, (title, sentence, thumbnail, minutes) in zip(pages, headings, strict=True):
        if part := PARTS.get(page.name[:2]):
            lines += ["", f"### {part}", "", "| | |", "| --- | --- |"]
        picture = f'<img src="pictures/{thumbnail}" width="240" alt="From chapter {title}">'
        links = f"{minutes} minutes · [notebook](notebooks/{page.stem}.ipynb)"
        lines.append(
            f'| <a href="{page.name}">{picture}</a> '
            f"| **[{title}]({page.name})**<br>{sentence}<br>{links} |"
        )
        total += minutes
    hours, minutes = divmod(total, 60)
    lines += ["", f"Together: {hours} h {minutes} min of reading, without the exercises."]
    readme = FOLDER / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    table = "\n".join(lines)
    replace(readme, f"{before}{BEGIN}\n{table}\n\n{END}{after}")


def heading(page):
    """A page's title, the paragraph below it, its thumbnail, and the minutes that it takes."""
    text = page.read_text()
    thumbnail = re.search(r"Thumbnail: (\S+) -->", text)[1]
    title, sentence = re.search(r"^# (.+)\n\n((?:.+\n)+)", text, re.MULTILINE).groups()
    minutes = re.search(r"\b(\d+) minutes", text)
    return title, " ".join(sentence.split()), thumbnail, int(minutes[1]) if minutes else 0


def replace(path, text):
    if path.read_text() != text:
        write_atomically(path, lambda file: file.write(text.encode()))
