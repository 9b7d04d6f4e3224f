"""python -m tinyembed and the script `tinyembed`: the list of commands, and how they start."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tinyembed
from tinyembed.__main__ import COMMANDS, main

ROOT = Path(tinyembed.__file__).parent
# Replaces NumPy: importing it is interrupted as by Ctrl-C.
INTERRUPTION = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(10)\n"


def call(monkeypatch, capsys, *words):
    """Run the command line in this process: exit status, standard output and error stream."""
    monkeypatch.setattr(sys, "argv", ["/bin/tinyembed", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code, *capsys.readouterr()


@pytest.fixture
def interrupted(tmp_path):
    """A function that runs Python where importing NumPy is interrupted. Returns the process."""
    (tmp_path / "numpy.py").write_text(INTERRUPTION)

    def run(*words):
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True, text=True, cwd=tmp_path, timeout=60,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            # A background shell starts programs that ignore Ctrl-C; a person's command does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    return run


def test_every_command_is_listed():
    """And nothing else. A command is a module at the package's root that ends by running main."""
    commands = {p.stem for p in ROOT.glob("*.py") if "\n    run(main)" in p.read_text()}
    assert set(COMMANDS) == commands


def test_the_list_imports_no_numpy(interrupted):
    done = interrupted("-m", "tinyembed")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert done.stdout.startswith("usage: python -m tinyembed COMMAND")


def test_the_list_for_the_script(monkeypatch, capsys):
    listed = call(monkeypatch, capsys)
    assert listed[1].startswith("usage: tinyembed COMMAND")
    assert listed == call(monkeypatch, capsys, "--help") == call(monkeypatch, capsys, "-h")
    version = call(monkeypatch, capsys, "--version")
    assert version == (0, f"tinyembed {tinyembed.__version__}\n", "")


@pytest.mark.parametrize("word", ["trian", "--data", "__main__", "errors", ""])
def test_no_such_command(monkeypatch, capsys, word):
    status, out, err = call(monkeypatch, capsys, word, "more")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"tinyembed: {word}: no such command; choose one of train, corpus, ")


def test_a_command_finds_its_own_arguments(monkeypatch, capsys, piano_folder):
    from tinyembed.corpus import main as corpus

    monkeypatch.setattr(sys, "argv", ["corpus.py", str(piano_folder), "--json"])
    assert not corpus()
    expected = capsys.readouterr().out
    status, out, err = call(monkeypatch, capsys, "corpus", piano_folder, "--json")
    assert (status, json.loads(out)) == (0, json.loads(expected))
    assert call(monkeypatch, capsys, "corpus", "--help")[0] == 0
    status, out, err = call(monkeypatch, capsys, "corpus", "no-such-folder")
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_command_that_is_interrupted(monkeypatch, capsys):
    import tinyembed.corpus

    def stopped(argv=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(tinyembed.corpus, "main", stopped)
    assert call(monkeypatch, capsys, "corpus") == (130, "", "tinyembed: interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C does not send a signal there")
@pytest.mark.parametrize(
    "words",
    [
        ["-m", "tinyembed.train"],
        ["-X", "dev", "-m", "tinyembed", "train", "--json"],
        ["-mtinyembed", "train"],
        ["bin/tinyembed", "train", "--json"],
    ],
    ids=" ".join,
)
def test_interrupted_while_it_imports(interrupted, tmp_path, words):
    """Until its work begins, Ctrl-C ends a command without a message, however it was started."""
    (tmp_path / "bin").mkdir()
    script = "import sys\nfrom tinyembed.__main__ import main\nsys.exit(main())\n"
    (tmp_path / "bin" / "tinyembed").write_text(script)
    done = interrupted(*words)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C does not send a signal there")
def test_a_program_keeps_its_signal_handlers(interrupted, tmp_path):
    """In a program that imports tinyembed, Ctrl-C raises KeyboardInterrupt as before."""
    (tmp_path / "program.py").write_text(
        "import tinyembed\n"
        "try: tinyembed.load()\n"
        "except KeyboardInterrupt: print('caught')\n"
    )  # fmt: skip
    done = interrupted("program.py", "tinyembed", "tinyembed.train")
    assert (done.returncode, done.stdout, done.stderr) == (0, "caught\n", "")


def test_the_former_name_of_a_module():
    """Attribute access and import both find it; it warns, and still does its work."""
    from tinyembed.backends import choice

    before = choice.in_use()
    try:
        with pytest.warns(FutureWarning, match=r"^tinyembed.compiled.switch_on\(\) is now") as seen:
            numba = tinyembed.compiled.switch_on()
        assert "\n" not in str(seen[0].message) and "use_backend('numba')" in str(seen[0].message)
        assert seen[0].filename == __file__
        assert numba == (tinyembed.use_backend("numba") == "numba") == tinyembed.compiled.in_use()
        from tinyembed.compiled import switch_on

        with pytest.warns(FutureWarning, match=r"use_backend\('cpu'\)"):
            assert switch_on(False) is False
        assert choice.in_use() == "cpu"
        with pytest.raises(AttributeError):
            _ = tinyembed.compiled.formula
    finally:
        choice.use(before)
