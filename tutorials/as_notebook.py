"""A chapter that has run, as a notebook that opens anywhere: it brings the files that it needs.

Two cells come first. One installs the package from SOURCE. The other holds lesson.py, sound.py and
the results that the chapter reads, as text, and writes them to a temporary folder that is laid out
like the repository, because pip installs only the package.
"""

import json
import re
from base64 import b64decode

from contents import FOLDER
from page import tags

ROOT = FOLDER.parent

INSTALL = """\
# Run this cell first. SOURCE says where pip finds the package. It is on no public index yet, so put
# the path of a clone there, such as "/content/tinyembed[scores]", or the URL of the repository, as
# in "tinyembed[scores] @ git+https://HOST/OWNER/tinyembed".
SOURCE = "tinyembed[scores]"

from importlib.util import find_spec

if not all(map(find_spec, ("tinyembed", "music21"))):
    %pip install -q "{SOURCE}"
"""

UNPACK = """\
# @title The files of the course that this chapter uses { display-mode: "form" }
# One line holds the text of each; afterwards they lie in the folder `course`.
import sys
import tempfile
from pathlib import Path

FILES = {
%s}

course = Path(tempfile.mkdtemp(prefix="tinyembed-"))
for name, text in FILES.items():
    (course / name).parent.mkdir(parents=True, exist_ok=True)
    (course / name).write_text(text, encoding="utf-8")
sys.path.insert(0, str(course / "tutorials"))
"""


def as_notebook(chapter, notebook):
    """The bytes of the .ipynb: what the page shows, with its outputs. The same run, the same bytes.

    notebook: of `page.render`, which has checked its outputs and named its pictures.
    """
    import nbformat

    files = needed_files((FOLDER / f"{chapter}.py").read_text())
    hidden = {"cellView": "form", "jupyter": {"source_hidden": True}}
    cells = [
        nbformat.v4.new_code_cell(INSTALL.rstrip()),
        nbformat.v4.new_code_cell(unpack(files), metadata=hidden),
    ]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cells.append(nbformat.v4.new_markdown_cell(moved_links(cell.source)))
        elif "hide" not in tags(cell):
            outputs = [portable(output) for output in cell.outputs]
            cells.append(nbformat.v4.new_code_cell(cell.source, outputs=outputs))
    codes = [cell for cell in cells if cell.cell_type == "code"]
    for count, cell in enumerate(codes, 1):
        cell.execution_count = count
    for place, cell in enumerate(cells):
        cell.id = f"{chapter[:2]}-{place:02d}"
    made = nbformat.v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.validate(made)
    return (nbformat.writes(made) + "\n").encode()


def needed_files(script):
    """{path within the repository: text} of what a chapter imports or reads there.

    A chapter names what it reads as `lesson.ROOT / "path"`: a file, a folder of Python modules, or
    a folder with `.glob("pattern")` after it.
    """
    paths = [FOLDER / "lesson.py", FOLDER / "sound.py"]
    chain = r'lesson\.ROOT((?:\s*/\s*"[^"]+")+)(?:\)\.glob\("([^"]+)"\))?'
    for parts, pattern in re.findall(chain, script):
        path = ROOT.joinpath(*re.findall(r'"([^"]+)"', parts))
        paths += sorted(path.rglob(pattern or "*.py")) if path.is_dir() else [path]
    return {path.relative_to(ROOT).as_posix(): compact(path) for path in paths}


def compact(path):
    """The text of a file. JSON is rewritten without white space."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        return text
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)


def unpack(files):
    """The cell that writes the files: a line for each, which most editors do not wrap."""
    return (UNPACK % "".join(f"    {name!r}: {text!r},\n" for name, text in files.items())).rstrip()


def moved_links(text):
    """Markdown whose links start from the folder of the notebooks, and lead to notebooks."""

    def moved(match):
        target = match[1]
        if "://" in target or target.startswith("#"):
            return match[0]
        chapter = re.fullmatch(r"([0-9]{2}_\w+)\.md", target)
        return f"]({chapter[1]}.ipynb)" if chapter else f"](../{target})"

    parts = re.split(r"(^ *```.*?^ *```$)", text, flags=re.DOTALL | re.MULTILINE)
    parts[::2] = [re.sub(r"\]\(([^)\s]+)\)", moved, prose) for prose in parts[::2]]
    return "".join(parts)


def portable(output):
    """An output as a notebook keeps it: a picture has its words, and is shown at half its size."""
    output = output.copy()
    if output.output_type == "display_data":
        words = {"alt": output.metadata.get("alt", "")}
        if png := output.data.get("image/png"):
            words |= {"width": width_of(png) // 2}
        output.metadata = {"image/png": words} if png else {}
    return output


def width_of(png):
    """The width of a picture in pixels, from its first bytes in base64."""
    return int.from_bytes(b64decode(png[:32])[16:20], "big")
