"""Run the chapters and write their pages: Markdown, with what they print and what they draw.

    python tutorials/build.py            all chapters
    python tutorials/build.py 01 07      these

A chapter is a script of cells (`# %%`, and `# %% [markdown]` for prose), which jupytext reads as a
notebook; nbclient runs it and nbconvert renders it. Of 01_onset_roll.py it makes 01_onset_roll.md
and pictures/01_1.png, 01_2.png, ... A page holds its code, its printed lines, its pictures, and
nothing that depends on where it was built: the same script gives the same bytes. What
`lesson.play` plays is written to sounds/01_name.wav, and the page links it. The same run makes
notebooks/01_onset_roll.ipynb, with its outputs.

Words for a cell, after its `# %%`:

    tags=["hide"]        it runs, but the page does not show it; it prints and draws nothing
    tags=["thumbnail"]   its picture stands for the chapter in the table of contents
    alt="..."            its picture in words, for readers who cannot see it

A warning is an error. So is a result that is not printed: the script alone would not show it.
"""

import os
import subprocess
import tempfile
import time

from as_notebook import as_notebook
from contents import FOLDER, chapters, write_contents
from page import render

from tinyembed.cli.options import Parser
from tinyembed.cli.running import run
from tinyembed.errors import InputError, WorkError
from tinyembed.storage.files import write_atomically

NO_TOOLS = 'pages are made with jupytext, nbconvert and ipykernel: pip install -e ".[tutorials]"'
LONGEST = 600  # seconds per cell
FOLDERS = ("pictures", "sounds", "notebooks")  # of what is made with a page

# Runs before each chapter. Pictures keep the size they were drawn in, and name no version.
FIRST_CELL = """\
import warnings
from matplotlib_inline.config import InlineBackend
InlineBackend.instance().print_figure_kwargs = {
    "bbox_inches": None, "dpi": 200, "metadata": {"Software": None}
}
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module="ipykernel")  # which a chapter cannot avoid
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
        notebook = execute(script)
        page, files = render(script.stem, notebook)
        files[f"notebooks/{script.stem}.ipynb"] = as_notebook(script.stem, notebook)
        write(script.stem, page, files)
        seconds = time.perf_counter() - start
        print(f"{script.stem}.md: {described(files)}, {seconds:.0f} s", flush=True)
    write_contents()


def described(files):
    """What a chapter has shown, in words. files: their paths."""
    counts = {kind: sum(name.startswith(kind) for name in files) for kind in FOLDERS[:2]}
    return ", ".join(f"{n} {kind[: -1 if n == 1 else None]}" for kind, n in counts.items() if n)


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


def write(chapter, page, files):
    """Replace a chapter's page, and its pictures, sounds and notebook: {path: bytes}."""
    for name, data in files.items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, lambda file, data=data: file.write(data))
    write_atomically(FOLDER / f"{chapter}.md", lambda file: file.write(page.encode()))
    for folder in FOLDERS:
        for old in (FOLDER / folder).glob(f"{chapter[:2]}_*"):
            if f"{folder}/{old.name}" not in files:
                old.unlink()


if __name__ == "__main__":
    run(main)
