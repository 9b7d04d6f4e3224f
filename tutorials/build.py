"""Run the chapters and write their pages: Markdown, with what they print and what they draw.

    python tutorials/build.py            all chapters
    python tutorials/build.py 01 07      these

A chapter is a script of cells (`# %%`, and `# %% [markdown]` for prose), which jupytext reads as a
notebook; nbclient runs it and nbconvert renders it. Of 01_onset_roll.py it makes 01_onset_roll.md
and pictures/01_1.png, 01_2.png, ... A page holds its code, its printed lines, its pictures, and
nothing that depends on where it was built: the same script gives the same bytes.

Words for a cell, after its `# %%`:

    tags=["hide"]        it runs, but the page does not show it; it prints and draws nothing
    tags=["thumbnail"]   its picture stands for the chapter in the table of contents
    alt="..."            its picture in words, for readers who cannot see it

A warning is an error. So is a result that is not printed: the script alone would not show it.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contents import FOLDER, chapters, write_contents

from tinyembed.cli.options import Parser
from tinyembed.cli.running import run
from tinyembed.errors import InputError, WorkError
from tinyembed.storage.files import write_atomically

NO_TOOLS = 'pages are made with jupytext, nbconvert and ipykernel: pip install -e ".[tutorials]"'
LONGEST = 600  # seconds per cell

# Runs before each chapter. Pictures keep the size they were drawn in, and name no version.
FIRST_CELL = """\
import warnings
from matplotlib_inline.config import InlineBackend
InlineBackend.instance().print_figure_kwargs = {"bbox_inches": None, "metadata": {"Software": None}}
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="ipykernel")  # which a chapter cannot avoid
"""

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
"""


def main(argv=None):
    parser = Parser("build", __doc__.splitlines()[0])
    parser.prog = "python tutorials/build.py"
    parser.add_argument("chapters", nargs="*", metavar="NN", help="their numbers (default: all)")
    wanted = parser.parse_args(argv).chapters
    scripts = [path for path in chapters() if not wanted or path.name[:2] in wanted]
    for number in sorted(set(wanted) - {path.name[:2] for path in scripts}):
        raise InputError(f"{number}: no such chapter; a number has two digits, such as 01")
    try:
        import ipykernel  # noqa: F401, which runs what nbconvert hands it
        import jupytext  # noqa: F401
        import nbconvert  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"{NO_TOOLS} ({error.name} is missing)") from None

    for script in scripts:
        start = time.perf_counter()
        page, pictures = render(script.stem, execute(script))
        write(script.stem, page, pictures)
        seconds = time.perf_counter() - start
        drawn = f"{len(pictures)} picture{'s' * (len(pictures) != 1)}"
        print(f"{script.stem}.md: {drawn}, {seconds:.0f} s", flush=True)
    write_contents()


def execute(script):
    """Run a chapter's cells in order. Returns the notebook with their prints and pictures."""
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])
    for library in ("OPENBLAS", "OMP", "MKL"):  # sums are then the same on any number of cores
        os.environ[f"{library}_NUM_THREADS"] = "1"

    notebook = jupytext.read(script, fmt="py:percent")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(FIRST_CELL, metadata={"tags": ["hide"]}))
    with tempfile.TemporaryDirectory() as here:  # for what a chapter may write
        try:
            client = NotebookClient(
                notebook, timeout=LONGEST, kernel_name="python3",
                resources={"metadata": {"path": here}},
            )  # fmt: skip
            # A cell's own output comes as messages. On stderr a kernel only complains of closed
            # sockets, where it is shut down quickly.
            client.execute(stderr=subprocess.DEVNULL)
        except CellExecutionError as error:
            reason = " ".join(f"{error.ename}: {error.evalue}".split())
            raise WorkError(
                f"{script.name}: {reason} (python tutorials/{script.name} shows where)"
            ) from None
    return notebook


def render(chapter, notebook):
    """The page's text, and its pictures: {file name: bytes}."""
    from nbconvert import MarkdownExporter

    shown, thumbnail, count = [], None, 0
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = merged(cell.outputs)
            check(chapter, cell)
            for output in cell.outputs:
                if output.output_type == "display_data":
                    count += 1
                    name = f"{chapter[:2]}_{count}.png"
                    alt = cell.metadata.get("alt", f"Picture {count} of this chapter")
                    output.metadata.update(filename=name, alt=alt)
                    if thumbnail is None or "thumbnail" in tags(cell):
                        thumbnail = name
        if "hide" not in tags(cell):
            shown.append(cell)
    if not count:
        raise WorkError(f"{chapter}.py: draws no picture")

    notebook.cells = shown
    notebook.metadata.language_info = {"name": "python"}
    body, resources = MarkdownExporter(raw_template=PAGE).from_notebook_node(
        notebook, {"output_files_dir": "pictures"}
    )
    made = f"<!-- Made by build.py from {chapter}.py: edit that. Thumbnail: {thumbnail} -->"
    parts = re.split(
        r"^(```.*?^```$)", f"{made}\n\n{body.strip()}\n", flags=re.DOTALL | re.MULTILINE
    )
    parts[::2] = [re.sub(r"\n{3,}", "\n\n", prose) for prose in parts[::2]]
    text = "".join(parts)
    check_paths(chapter, text)
    return text, {Path(name).name: data for name, data in resources["outputs"].items()}


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
            raise WorkError(f"{where}: it shows something other than text and pictures")
        if "hide" in tags(cell):
            raise WorkError(f"{where}: it is hidden, so it must neither print nor draw")


def check_paths(chapter, text):
    """Raise WorkError for a path of this machine, or an address in its memory."""
    folders = {str(FOLDER.parent), str(Path.home()), sys.prefix, tempfile.gettempdir()}
    for folder in sorted(folders - {os.sep}):
        if folder in text:
            raise WorkError(f"{chapter}.py: the page would hold a path of this machine, {folder}")
    if address := re.search(r"\bat 0x[0-9a-f]{6,}", text):
        raise WorkError(f"{chapter}.py: the page would hold an address in memory, {address[0]}")


def write(chapter, page, pictures):
    """Replace a chapter's page and its pictures."""
    folder = FOLDER / "pictures"
    folder.mkdir(exist_ok=True)
    for name, data in pictures.items():
        write_atomically(folder / name, lambda file, data=data: file.write(data))
    write_atomically(FOLDER / f"{chapter}.md", lambda file: file.write(page.encode()))
    for old in set(folder.glob(f"{chapter[:2]}_*.png")) - {folder / name for name in pictures}:
        old.unlink()


if __name__ == "__main__":
    run(main)
