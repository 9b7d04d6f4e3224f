"""A chapter that has run, as a page: Markdown, its pictures, and its sounds."""

import base64
import re
import sys
import tempfile
from pathlib import Path

from contents import FOLDER

from tinyembed.errors import WorkError

PAGE = """\
{%- extends "markdown/index.md.j2" -%}
{% block stream %}
```text
{{ output.text.rstrip() }}
```
{% endblock stream %}
{% block data_png %}
![{{ output.metadata.alt }}]({{ output.metadata.filenames["image/png"] | path2url }})
{% endblock data_png %}
{% block data_html %}
Listen: [{{ output.metadata.alt }}](sounds/{{ output.metadata.filename }})
{% endblock data_html %}
"""


def render(chapter, notebook):
    """The page's text, and the files that it shows or links: {path: bytes}.

    Names the pictures and sounds of the notebook, and gives each picture its words.
    """
    from nbconvert import MarkdownExporter

    thumbnail, sounds = name_outputs(chapter, notebook)
    shown = notebook.copy()
    shown.cells = [cell for cell in notebook.cells if "hide" not in tags(cell)]
    shown.metadata = {"language_info": {"name": "python"}}
    body, resources = MarkdownExporter(raw_template=PAGE).from_notebook_node(
        shown, {"output_files_dir": "pictures"}
    )
    made = f"<!-- Made by build.py from {chapter}.py: edit that. Thumbnail: {thumbnail} -->"
    parts = re.split(
        r"^(```.*?^```$)", f"{made}\n\n{body.strip()}\n", flags=re.DOTALL | re.MULTILINE
    )
    parts[::2] = [re.sub(r"\n{3,}", "\n\n", prose) for prose in parts[::2]]
    text = "".join(parts)
    check_paths(chapter, text)
    return text, {**resources["outputs"], **sounds}


def name_outputs(chapter, notebook):
    """Check all outputs. Returns the picture that stands for the chapter, and {path: sound}."""
    thumbnail, count, sounds = None, 0, {}
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = merged(cell.outputs)
        check(chapter, cell)
        for output in cell.outputs:
            if "sound" in output.get("metadata", {}):
                name = f"{chapter[:2]}_{output.metadata.sound}.wav"
                if f"sounds/{name}" in sounds:
                    raise WorkError(f"{chapter}.py: two sounds would be called {name}")
                output.metadata.filename = name
                coded = re.search(r"base64,([^\"]+)", output.data["text/html"])[1]
                sounds[f"sounds/{name}"] = base64.b64decode(coded)
            elif output.output_type == "display_data":
                count += 1
                name = f"{chapter[:2]}_{count}.png"
                alt = cell.metadata.get("alt", f"Picture {count} of this chapter")
                output.metadata.update(filename=name, alt=alt)
                if thumbnail is None or "thumbnail" in tags(cell):
                    thumbnail = name
    if not count:
        raise WorkError(f"{chapter}.py: draws no picture")
    return thumbnail, sounds


def merged(outputs):
    """The outputs of a cell, where printed lines that follow each other are one output."""
    result = []
    for output in outputs:
        if result and output.output_type == result[-1].output_type == "stream":
            if output.name == result[-1].name:
                result[-1].text += output.text
                continue
        result.append(output)
    return result


def tags(cell):
    return cell.metadata.get("tags", [])


def check(chapter, cell):
    """Raise WorkError for an output that a page cannot hold."""
    where = f"{chapter}.py, in the cell that begins {cell.source.partition(chr(10))[0]!r}"
    for output in cell.outputs:
        if output.get("name") == "stderr":
            raise WorkError(f"{where}: it complains: {' '.join(output.text.split())[:200]}")
        if output.output_type == "execute_result":
            raise WorkError(f"{where}: its last line is a value; print it, or end it with a ';'")
        if output.output_type == "display_data" and "image/png" not in output.data:
            if "sound" not in output.metadata:
                raise WorkError(f"{where}: it shows what is neither text nor picture nor sound")
        if "hide" in tags(cell):
            raise WorkError(f"{where}: it is hidden, so it must neither print nor draw")


def check_paths(chapter, text):
    """Raise WorkError for a path of this machine, or an address in its memory."""
    folders = {FOLDER.parent, Path.home(), Path(sys.prefix), Path(tempfile.gettempdir())}
    for folder in sorted(folders - {Path("/")}):
        if str(folder) in text:
            raise WorkError(f"{chapter}.py: the page would hold a path of this machine, {folder}")
    if address := re.search(r"\bat 0x[0-9a-f]{6,}", text):
        raise WorkError(f"{chapter}.py: the page would hold an address in memory, {address[0]}")
