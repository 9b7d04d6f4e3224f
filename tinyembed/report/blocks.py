"""The blocks of a report, and their Markdown and HTML.

A report is a list of blocks. Their texts are plain, including the names of files and composers:
they are escaped here and nowhere else.
"""

import html
import re
from dataclasses import dataclass

_NUMERIC = re.compile(r"[-+<]? ?\d|—|$")


class Strong(str):
    """A table cell in bold."""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: list


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Table:
    """header: list of str; rows: lists of str, as long as the header; caption: above the table."""

    header: list
    rows: list
    caption: str = ""

    def numeric(self):
        """For each column, whether all its cells are numbers, which align to the right."""
        return [
            i > 0 and all(_NUMERIC.match(row[i]) for row in self.rows)
            for i in range(len(self.header))
        ]


@dataclass(frozen=True)
class Picture:
    """file: its name in the report's folder; alt: a description, for readers who cannot see it."""

    file: str
    alt: str
    caption: str = ""


def to_markdown(blocks):
    """The report as GitHub's Markdown."""
    return "\n\n".join(_markdown(block) for block in blocks) + "\n"


def _markdown(block):
    match block:
        case Heading(text, level):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Bullets(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Code(text):  # indented, not fenced: no text can end the block
            return "\n".join(f"    {line}" for line in text.splitlines())
        case Picture(file, alt, caption):
            return f"![{_plain(alt)}]({file})" + (f"\n\n{_plain(caption)}" if caption else "")
        case Table(header, rows, caption):
            rule = ["---:" if numeric else ":---" for numeric in block.numeric()]
            cells = [[_plain(cell) for cell in header], rule]
            cells += [[_markdown_cell(cell) for cell in row] for row in rows]
            table = "\n".join(f"| {' | '.join(row)} |" for row in cells)
            return f"{_plain(caption)}\n\n{table}" if caption else table


def _markdown_cell(cell):
    return f"**{_plain(cell)}**" if isinstance(cell, Strong) else _plain(cell)


def _plain(text):
    """Text on one line, with Markdown's special characters escaped."""
    text = re.sub(r"([\\`*\[\]|#~$])", r"\\\1", " ".join(str(text).split()))
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)  # no special meaning in a word
    text = re.sub(r"^(\d*)([-+>.)] )", r"\1\\\2", text)  # not a list or a quotation
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_html(blocks, source):
    """The report as the body of an HTML page. source: picture file -> value of <img src>."""
    return "\n".join(_html(block, source) for block in blocks)


def _html(block, source):
    match block:
        case Heading(text, level):
            return f"<h{level}>{_safe(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_safe(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_safe(item)}</li>" for item in items) + "</ul>"
        case Code(text):
            return f"<pre>{_safe(text)}</pre>"
        case Picture(file, alt, caption):
            image = f'<img src="{source(file)}" alt="{_safe(alt)}">'
            return f"<figure>{image}<figcaption>{_safe(caption)}</figcaption></figure>"
        case Table(header, rows, caption):
            classes = [' class="number"' if numeric else "" for numeric in block.numeric()]
            head = _html_row("th", [f' scope="col"{c}' for c in classes], header)
            body = "".join(_html_row("td", classes, row) + "\n" for row in rows)
            caption = f"<caption>{_safe(caption)}</caption>" if caption else ""
            return (
                f'<div class="wide" tabindex="0"><table>{caption}<thead>{head}</thead>\n'
                f"<tbody>{body}</tbody></table></div>"
            )


def _html_row(tag, attributes, row):
    """A row of a table. tag: of its cells; attributes: those of each cell."""
    cells = [f"<strong>{_safe(x)}</strong>" if isinstance(x, Strong) else _safe(x) for x in row]
    pairs = zip(attributes, cells, strict=True)
    return f"<tr>{''.join(f'<{tag}{a}>{cell}</{tag}>' for a, cell in pairs)}</tr>"


def _safe(text):
    return html.escape(str(text), quote=True)
