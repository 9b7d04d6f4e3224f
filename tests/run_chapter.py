"""Run a chapter as its reader would: python tests/run_chapter.py tutorials/01_onset_roll.py FILE

The visible cells share one namespace, and nothing that a hidden cell defines or changes reaches
them: so what the page shows is complete. A hidden cell sees the visible names, and what earlier
hidden cells defined. After the last cell the code of each solution runs, with the visible names.

FILE is where the lines that each solution printed are written: a JSON list of [solution, lines].
"""

import contextlib
import io
import json
import re
import sys
import textwrap
import types
import zlib
from pathlib import Path

import numpy as np

LARGE = 10**7  # bytes: what a hidden cell does to an array above this size is not watched


def cells(text):
    """The cells of a script, in order: (words after the `# %%`, text, its first line's number)."""
    parts = re.split(r"^# %%(.*)\n", text, flags=re.MULTILINE)
    result, line = [], 1 + parts[0].count("\n")
    for words, part in zip(parts[1::2], parts[2::2], strict=True):
        result.append((words, part.strip("\n"), line + 1 + len(part) - len(part.lstrip("\n"))))
        line += 1 + part.count("\n")
    return result


def prose(text):
    """A Markdown cell without its comment signs."""
    return re.sub(r"^# ?", "", text, flags=re.MULTILINE)


def solutions(text):
    """The solutions of a script, in order: (all of its text, its code or "")."""
    markdown = "\n".join(prose(cell) for words, cell, _ in cells(text) if "[markdown]" in words)
    result = []
    for solution in re.findall(r"<summary>Solution.*?</details>", markdown, flags=re.DOTALL):
        blocks = re.findall(r"^ *```python\n(.*?)^ *```$", solution, re.DOTALL | re.MULTILINE)
        result.append((solution, "\n".join(textwrap.dedent(block) for block in blocks)))
    return result


def run(path):
    """Run all cells. Returns what each solution printed: [[its text, lines], ...]."""
    script = Path(path)
    text = script.read_text()
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path[0] = str(script.resolve().parent)
    visible, hidden = vars(main), {}
    for words, code, line in cells(text):
        if "[markdown]" in words:
            continue
        compiled = compile("\n" * (line - 1) + code, path, "exec")
        if "hide" not in words:
            exec(compiled, visible)
            continue
        before = {name: state(value) for name, value in visible.items()}
        names = {**hidden, **visible}
        exec(compiled, names)
        for name, value in visible.items():
            if state(value) != before.get(name):
                sys.exit(f"{path}, line {line}: a hidden cell changes {name}, which is visible")
        hidden = {n: v for n, v in names.items() if n not in visible or v is not visible[n]}

    printed = []
    for solution, code in solutions(text):
        with contextlib.redirect_stdout(io.StringIO()) as lines:
            exec(compile(code, f"a solution of {path}", "exec"), visible)
        printed.append([solution, lines.getvalue()])
    return printed


def state(value):
    """What a hidden cell could change in place: random generators, and arrays."""
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, np.ndarray) and value.dtype != object and value.nbytes < LARGE:
        return zlib.crc32(np.ascontiguousarray(value))
    if isinstance(value, dict):
        return {key: state(item) for key, item in value.items() if item is not value}
    if isinstance(value, list | tuple) and len(value) < 1000:
        return [state(item) for item in value]
    return None


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(run(sys.argv[1])))
