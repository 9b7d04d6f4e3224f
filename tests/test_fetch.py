"""Public corpora: real downloads from a server on 127.0.0.1 with all the faults of real servers."""

import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from music import midi_file, write_midi

from tinyembed import corpus as corpus_command
from tinyembed import reproduce, train
from tinyembed.cli.running import exit_status
from tinyembed.errors import InputError, WorkError
from tinyembed.music import fetch, public_corpora
from tinyembed.music.fetch import File, fetch_files, missing_files
from tinyembed.stores.sources import as_absolute, as_typed, open_corpus

ROOT = Path(__file__).resolve().parents[1]
TRANSIENT = ("500", "503", "429", "cut", "drop", "wait")


class Server(ThreadingHTTPServer):
    """Serves `contents`, path -> bytes, after the faults in `faults`, path -> list.

    A fault is a status, or a word that `Handler` knows. requests: the requested paths, in order.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents, self.faults, self.requests = {}, {}, []
        self.resume = threading.Event()  # ends every "wait"
        self.address = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        """Ignore clients that were killed or closed the connection."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_):
        self.resume.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.lstrip("/")
        self.server.requests.append(path)
        body = self.server.contents.get(path)
        faults = self.server.faults.get(path)
        fault = faults.pop(0) if faults else "404" if body is None else None
        if fault == "together":  # passes two requests only if they are simultaneous
            self.server.pair.wait(timeout=5)
        if fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if fault and fault.isdigit():
            body = b"sorry"
        if fault == "wrong":
            body = body[::-1]
        self.send_response(int(fault) if fault and fault.isdigit() else 200)
        if fault == "endless":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while True:
                self.wfile.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        if fault == "wait":
            self.server.resume.wait()
        if fault == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(body[len(body) // 2 :])


def music_of(path):
    """The bytes of a MIDI file, different for each path."""
    seed = hashlib.sha256(path.encode()).digest()
    notes = [(480 * beat, 480, 40 + byte % 40) for beat, byte in enumerate(seed[:16])]
    file = io.BytesIO()
    midi_file(notes).save(file=file)
    return file.getvalue()


def file_of(path, content):
    return File(path, hashlib.sha256(content).hexdigest(), len(content))


def offer(server, *paths, below=""):
    """Add files with these paths to the server. Returns their entries in a table."""
    contents = {path: music_of(path) for path in paths}
    server.contents |= {below + path: content for path, content in contents.items()}
    return [file_of(path, content) for path, content in contents.items()]


def left_over(folder):
    return [path.name for path in folder.rglob("tmp*")]


@pytest.fixture
def server():
    with Server() as server:
        yield server


@pytest.fixture
def impatient(monkeypatch):
    """Retries at once, and with a short timeout."""
    monkeypatch.setattr(fetch, "RETRY_DELAYS", (0, 0, 0))
    monkeypatch.setattr(fetch, "TIMEOUT", (5, 0.3))


def forbid_retries(monkeypatch):
    """A second attempt raises a TypeError."""
    monkeypatch.setattr(fetch, "RETRY_DELAYS", ("never",) * 3)


# One download


def test_all_files_arrive_whole_and_are_requested_once(server, tmp_path, capfd):
    files = offer(server, *(f"Bach/{i}/midi_score.mid" for i in range(20)), "Bach/one.mid")
    assert missing_files(files, tmp_path) == files
    assert fetch_files(server.address, files, tmp_path) == 21
    for file in files:
        assert (tmp_path / file.path).read_bytes() == music_of(file.path)
    assert Counter(server.requests) == Counter(file.path for file in files)
    assert missing_files(files, tmp_path) == [] and left_over(tmp_path) == []
    assert fetch_files(server.address, files, tmp_path) == 0
    assert len(server.requests) == 21
    assert capfd.readouterr() == ("", "")  # no progress bar, no line of pooch's


def test_several_downloads_at_the_same_time(server, tmp_path, impatient, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", (5, 20))
    files = offer(server, "a.mid", "b.mid")
    server.pair = threading.Barrier(2)
    server.faults = {file.path: ["together"] * 9 for file in files}
    assert fetch_files(server.address, files, tmp_path) == 2


@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient_faults_are_retried(fault, server, tmp_path, impatient):
    files = offer(server, "a.mid", "b.mid")
    server.faults = {"a.mid": [fault] * 3}
    fetch_files(server.address, files, tmp_path)
    assert missing_files(files, tmp_path) == [] and left_over(tmp_path) == []
    assert Counter(server.requests) == {"a.mid": 4, "b.mid": 1}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_persistent_faults_end_the_download(fault, server, tmp_path, impatient, monkeypatch):
    if fault == "wait":
        monkeypatch.setattr(fetch, "TIMEOUT", (5, 0.05))
    (file,) = offer(server, "Bach/a.mid")
    server.faults = {file.path: [fault] * 9}
    with pytest.raises(WorkError) as failure:
        fetch_files(server.address, [file], tmp_path, "asap")
    words = str(failure.value)
    assert words.startswith(f"asap: Bach/a.mid: {server.address}Bach/a.mid: ")
    assert (fault in words) if fault.isdigit() else ("the connection fails (" in words)
    assert "run the same command again" in words and "\n" not in words
    assert len(server.requests) == 4
    assert list((tmp_path / "Bach").iterdir()) == []


def test_a_missing_file_is_requested_only_once(server, tmp_path, monkeypatch):
    forbid_retries(monkeypatch)
    (file,) = offer(server, "a.mid")
    server.contents.clear()
    with pytest.raises(WorkError, match=r"a\.mid: http://.*/a\.mid: the server answers 404 Not F"):
        fetch_files(server.address, [file], tmp_path)


@pytest.mark.parametrize("fault", ["wrong", "endless"])
def test_wrong_content_is_discarded(fault, server, tmp_path, monkeypatch):
    forbid_retries(monkeypatch)
    (file,) = offer(server, "Bach/a.mid")
    server.faults = {file.path: [fault]}
    with pytest.raises(WorkError) as failure:
        fetch_files(server.address, [file], tmp_path, "asap")
    words = str(failure.value)
    assert words.startswith(f"asap: Bach/a.mid: the content of {server.address}Bach/a.mid does not")
    assert file.sha256[:16] in words and "\n" not in words
    assert list((tmp_path / "Bach").iterdir()) == []


def test_the_first_failure_ends_the_download(server, tmp_path, impatient):
    files = offer(server, *(f"{i}.mid" for i in range(300)))
    server.faults = {file.path: ["500"] * 9 for file in files}
    with pytest.raises(WorkError, match="500"):
        fetch_files(server.address, files, tmp_path)
    for thread in threading.enumerate():
        if thread.name == "fetch":
            thread.join()
    assert len(server.requests) <= 8 * fetch.PARALLEL


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/"


def test_without_a_connection_there_is_no_retry(tmp_path, monkeypatch):
    forbid_retries(monkeypatch)
    address = closed_port()
    files = [file_of(f"{i}.mid", b"x") for i in range(50)]
    with pytest.raises(WorkError) as failure:
        fetch_files(address, files, tmp_path, "krueger")
    words = str(failure.value)
    assert words.startswith(f"krueger: no connection to {address[7:-1]} (")
    assert "omit --data" in words and "tinyembed[scores]" in words and "\n" not in words


def test_a_connection_lost_during_the_download_is_retried(server, tmp_path, impatient, monkeypatch):
    """The server stops after its first answers. It may come back, as the message says."""
    files = offer(server, *(f"{i}.mid" for i in range(20)))
    monkeypatch.setattr(fetch, "PARALLEL", 1)
    send_response = Handler.send_response

    def last_answer(handler, status):
        send_response(handler, status)
        if len(handler.server.requests) == 3:
            handler.server.socket.close()
            handler.close_connection = True
            handler.send_header("Connection", "close")

    receive, tries = fetch._Download._receive, []

    def counted(download, session, size, url, *more):
        tries.append(url)
        return receive(download, session, size, url, *more)

    monkeypatch.setattr(Handler, "send_response", last_answer)
    monkeypatch.setattr(fetch._Download, "_receive", counted)
    with pytest.raises(WorkError, match=r"no connection .* are kept") as failure:
        fetch_files(server.address, files, tmp_path)
    assert "--data" not in str(failure.value)
    assert len(missing_files(files, tmp_path)) == 17
    assert tries == [server.address + f"{i}.mid" for i in (0, 1, 2, 3, 3, 3, 3)]


def test_stale_temporary_files_are_deleted(server, tmp_path):
    (file,) = offer(server, "Bach/a.mid")
    old, new = tmp_path / "Bach" / "tmpold", tmp_path / "Bach" / "tmpnew"
    old.parent.mkdir()
    old.write_bytes(b"MThd")
    new.write_bytes(b"MThd")
    long_ago = time.time() - 2 * fetch.STALE_AFTER
    os.utime(old, (long_ago, long_ago))
    fetch_files(server.address, [file], tmp_path)
    assert left_over(tmp_path) == ["tmpnew"]  # another process may be writing it


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (file,) = offer(server, "Bach/a.mid")
    (tmp_path / "Bach").write_text("in the way")
    with pytest.raises(WorkError, match=r"exists; .*TINYEMBED_CACHE to use another") as failure:
        fetch_files(server.address, [file], tmp_path)
    assert str(tmp_path) in str(failure.value)
    (tmp_path / "Bach").unlink()
    (tmp_path / "Bach" / "a.mid").mkdir(parents=True)
    with pytest.raises(WorkError, match="TINYEMBED_CACHE"):
        fetch_files(server.address, [file], tmp_path)


STATES = ("whole", "absent", "half", "foreign")


@settings(max_examples=25, deadline=None)
@given(
    before=st.lists(
        st.tuples(
            st.sampled_from(STATES),
            st.lists(st.sampled_from(["500", "cut", "drop"]), max_size=3),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_files_before_and_any_transient_faults(before, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    with Server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch, "RETRY_DELAYS", (0, 0, 0))
        files = offer(server, *(f"{i % 3}/{i}.mid" for i in range(len(before))))
        requested = Counter()
        for file, (state, faults) in zip(files, before, strict=True):
            content = music_of(file.path)
            content = {"half": content[: len(content) // 2], "foreign": b"no"}.get(state, content)
            if state != "absent":
                (folder / file.path).parent.mkdir(exist_ok=True)
                (folder / file.path).write_bytes(content)
            if state != "whole":
                server.faults[file.path] = list(faults)
                requested[file.path] = 1 + len(faults)
        assert fetch_files(server.address, files, folder) == len(requested)
        assert Counter(server.requests) == requested
        assert missing_files(files, folder) == [] and left_over(folder) == []


# The tables and the names of composers


def test_the_tables():
    for name, n, size in (("asap", 235, 4_536_241), ("krueger", 337, 8_116_500)):
        files = public_corpora.files_of(name)
        assert (len(files), sum(file.size for file in files)) == (n, size)
        assert len({file.path for file in files}) == len({file.sha256 for file in files}) == n
        assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256) for file in files)
        assert all(re.fullmatch(r"[\w./-]+\.mid", file.path) for file in files)
        assert not any(".." in file.path or file.path.startswith("/") for file in files)
        items, left_out = public_corpora.find_works(name, Path("/music"))
        assert len(items) + len(left_out) == n
        assert len({name for _, name, _ in items}) == len(items)
        assert all(name.startswith(f"{composer}/") for composer, name, _ in items)
        assert public_corpora.base_url_of(name).startswith("https://raw.githubusercontent.com/")


def composers_of(name):
    return {composer for composer, _, _ in public_corpora.find_works(name, Path("/music"))[0]}


def test_each_composer_has_one_name():
    assert not public_corpora.SPELLINGS.keys() & set(public_corpora.SPELLINGS.values())
    asap, krueger = composers_of("asap"), composers_of("krueger")
    assert {"Rachmaninov", "Schubert", "Balakirev"} <= asap & krueger
    assert {"Tschaikovsky", "Albeniz", "Burgmueller"} <= krueger
    assert not {"Rachmaninoff", "Tchaikovsky", "Christmas", "midis"} & (asap | krueger)
    assert len(asap) == 16 and len(krueger) == 25


def test_the_tables_list_the_real_files(shared_corpus):
    """The shared pieces that come from the two corpora, identified by their contents."""
    known = {}
    for name in public_corpora.CORPORA:
        folder = Path("/music")
        by_path = {
            path: composer for composer, _, path in public_corpora.find_works(name, folder)[0]
        }
        for file in public_corpora.files_of(name):
            known[file.sha256] = by_path.get(str(folder / file.path)), file.size
    rows = [line.split("\t") for line in (shared_corpus / "MANIFEST.tsv").read_text().splitlines()]
    sources = ("fosfrancesco/asap-dataset", "cheriell/ClassicalPianoMIDI-dataset")
    ours = [row for row in rows[1:] if row[2].startswith(sources)]
    assert len(ours) == 277
    for composer, file, *_ in ours:
        content = (shared_corpus / "piano" / composer / file).read_bytes()
        assert known[hashlib.sha256(content).hexdigest()] == (composer, len(content)), file


# Corpora by name


def tables(folder, **files):
    """Write tables in place of the real ones."""
    folder.mkdir()
    for name, rows in files.items():
        lines = [f"{file.path}\t{file.sha256}\t{file.size}\n" for file in rows]
        (folder / f"{name}.tsv").write_text("path\tsha256\tbytes\n" + "".join(lines))
    return folder


@pytest.fixture
def home(server, tmp_path, monkeypatch):
    """A cache, two corpora on the server, and an empty working directory, which is returned."""
    works = ("1/midi_score.mid", "2/midi_score.mid", "3/midi_score.mid", "4/midi_score.mid")
    asap = [f"{who}/Preludes/{work}" for who in ("Rachmaninoff", "Bach") for work in works]
    krueger = ["midis/Rachmaninoff/rac.mid", "midis/Tchaikovsky/ty.mid", "midis/Christmas/x.mid"]
    folder = tables(
        tmp_path / "tables",
        asap=offer(server, *asap, below="asap/"),
        krueger=offer(server, *krueger, below="krueger/"),
    )
    monkeypatch.setattr(public_corpora, "TABLES", folder)
    monkeypatch.setenv("TINYEMBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TINYEMBED_MIRROR", server.address)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_a_corpus_is_opened_by_name(home, server, tmp_path, capfd):
    corpus = open_corpus("asap", seed=3)
    assert corpus.composers == ["Bach", "Rachmaninov"]
    assert corpus.names[:2] == ["Bach/Preludes/1/midi_score.mid", "Bach/Preludes/2/midi_score.mid"]
    assert corpus.names[7] == "Rachmaninov/Preludes/4/midi_score.mid"
    assert corpus.piece_is_test.sum() == 4 and corpus.left_out == []
    assert corpus.notes[0] == "the corpus asap: 8 files, CC BY-NC-SA 4.0"
    _, said = capfd.readouterr()
    assert said == (
        "asap: 8 files, 0.0 MB, from https://github.com/fosfrancesco/asap-dataset; licence: "
        "CC BY-NC-SA 4.0\n"
    )
    splits = [open_corpus("asap", seed=seed).piece_is_test.tolist() for seed in range(6)]
    assert splits[3] == corpus.piece_is_test.tolist() and splits.count(splits[3]) < 6
    again = open_corpus("asap", seed=3)
    assert (again.names, len(server.requests)) == (corpus.names, 8)
    assert (again.ticks == corpus.ticks).all() and capfd.readouterr() == ("", "")
    other = open_corpus("krueger")
    assert other.names == ["Rachmaninov/rac.mid", "Tschaikovsky/ty.mid"]
    assert other.left_out == [("Christmas/x.mid", "not in a composer's folder")]
    table = tmp_path / "table.tsv"
    table.write_text("composer\tfile\tsplit\nRachmaninov\tPreludes/2/midi_score.mid\ttest\n")
    assert open_corpus("asap", splits=table).piece_is_test.tolist() == [False] * 5 + [
        True,
        False,
        False,
    ]


def test_pieces_in_other_meters_are_left_out(home, server):
    file = io.BytesIO()
    midi_file([(0, 480, 60)], meter=(6, 8)).save(file=file)
    server.contents["asap/Bach/jig.mid"] = file.getvalue()
    with open(public_corpora.TABLES / "asap.tsv", "a") as table:
        jig = file_of("Bach/jig.mid", file.getvalue())
        table.write(f"{jig.path}\t{jig.sha256}\t{jig.size}\n")
    corpus = open_corpus("asap")
    assert corpus.n_pieces == 8 and corpus.left_out[0][0] == "Bach/jig.mid"
    assert open_corpus("asap", any_meter=True).n_pieces == 9


def test_a_damaged_file_is_downloaded_again(home, server):
    open_corpus("asap")
    damaged = public_corpora.folder_of("asap") / "Bach/Preludes/2/midi_score.mid"
    damaged.write_bytes(damaged.read_bytes()[:50])
    server.requests.clear()
    assert open_corpus("asap").left_out == []
    assert server.requests == ["asap/Bach/Preludes/2/midi_score.mid"]


@pytest.mark.parametrize("mirror", ["ftp://127.0.0.1/", "music"])
def test_an_invalid_mirror(mirror, home, monkeypatch):
    monkeypatch.setenv("TINYEMBED_MIRROR", mirror)
    with pytest.raises(InputError, match=f"TINYEMBED_MIRROR is '{mirror}'"):
        open_corpus("asap")


@pytest.mark.parametrize(
    "parser", [train.build_parser, reproduce.build_parser, corpus_command.build_parser]
)
def test_a_name_is_unchanged_and_a_folder_becomes_absolute(parser, home):
    for text, data in (
        ("asap", "asap"),
        ("krueger", "krueger"),
        ("./asap", str(home / "asap")),
        ("asap/", str(home / "asap")),
        ("ASAP", str(home / "ASAP")),
        ("music", str(home / "music")),
    ):
        found = parser().parse_args(["--data", text]).data
        assert found == data
        assert as_absolute(as_typed(found)) == found  # what is printed can be typed again
    assert as_typed(str(home / "asap")) == "./asap" and as_typed(str(home / "music")) == "music"
    with pytest.raises(InputError, match="an empty path"):
        parser().parse_args(["--data", ""])


def test_a_folder_called_asap(home, server, capsys):
    for name in ("a", "b"):
        write_midi(home / "asap" / "Alkan" / f"{name}.mid", [(0, 480, ord(name))])
    assert open_corpus(as_absolute("./asap")).names == ["Alkan/a.mid", "Alkan/b.mid"]
    assert open_corpus(Path("asap")).n_pieces == 2
    assert corpus_command.main(["./asap"]) is None
    assert capsys.readouterr().out.endswith("Next: python -m tinyembed.explore --data ./asap\n")
    assert server.requests == []
    assert open_corpus(as_absolute("asap")).composers == ["Bach", "Rachmaninov"]


# The commands


@pytest.fixture
def command(capfd):
    """Runs a command in this process. Returns its exit status and what it printed."""

    def run(verb, *arguments):
        status = exit_status(lambda: verb.main([*map(str, arguments)]))
        return status, *capfd.readouterr()

    return run


def test_fetch_lists_the_corpora(home, server, tmp_path, command):
    status, out, err = command(corpus_command, "fetch")
    assert (status, err) == (0, "")
    for words in (
        "asap: 8 files, 0.0 MB, from https://github.com/fosfrancesco/asap-dataset",
        "licence: CC BY-NC-SA 4.0",
        f"0 of 8 files are in {tmp_path / 'cache' / 'downloads' / 'asap'}",
        "krueger: 3 files",
        "CC BY-SA 3.0 DE",
        "\nNext: python -m tinyembed.corpus fetch asap\n",
    ):
        assert words in out
    assert server.requests == [] and not (tmp_path / "cache").exists()


def test_fetch_and_count(home, server, command, monkeypatch):
    status, out, err = command(corpus_command, "fetch", "asap")
    assert status == 0 and err.count("\n") == 1 and "licence: CC BY-NC-SA 4.0" in err
    assert "  8 of 8 files are in " in out
    assert out.endswith("\nNext: python -m tinyembed.corpus asap\n")
    assert len(server.requests) == 8
    # Now all files are here, and neither a server nor pooch is needed.
    monkeypatch.setenv("TINYEMBED_MIRROR", closed_port())
    monkeypatch.setitem(sys.modules, "pooch", None)
    status, out, err = command(corpus_command, "fetch", "asap", "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["files"], found["files_here"]) == (8, 8)
    assert found["licence"] == "CC BY-NC-SA 4.0" and os.path.isdir(found["folder"])
    status, out, err = command(corpus_command, "asap")
    assert (status, err) == (0, "")
    assert "\nRachmaninov  " in out
    assert out.endswith("\nNext: python -m tinyembed.train --data asap\n")


def test_a_run_by_name_resumes_in_another_folder(home, tmp_path, command, monkeypatch):
    monkeypatch.setenv("TINYEMBED_BACKEND", "cpu")  # the cache is empty: numba would compile
    out = tmp_path / "run"
    options = ("--examples", "40", "--batch-size", "10", "--json")
    status, _, err = command(train, "--data", "asap", "--out", out, *options)
    assert status == 0 and err.count("\n") == 1 and "licence" in err
    assert json.loads((out / "config.json").read_text())["data"] == "asap"
    (tmp_path / "elsewhere" / "asap").mkdir(parents=True)  # a folder called like the corpus
    os.chdir(tmp_path / "elsewhere")
    status, again, err = command(train, "--resume", "--out", out, "--json")
    assert (status, err) == (0, "")
    assert json.loads(again)["examples"] == 40


def test_without_a_network(home, command, monkeypatch):
    monkeypatch.setenv("TINYEMBED_MIRROR", closed_port())
    status, out, err = command(corpus_command, "asap")
    licence, line = err.splitlines()  # the licence is printed first
    assert (status, out) == (1, "") and "licence: CC BY-NC-SA 4.0" in licence
    assert line.startswith("tinyembed: asap: no connection to 127.0.0.1:")
    assert "omit --data" in line


def test_without_pooch(home, server, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    status, out, err = command(corpus_command, "fetch", "asap")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert 'pip install "tinyembed[corpora]"' in err and server.requests == []


def test_wrong_use(home, command):
    for words, message in (
        (["fetch", "asapp"], "choose from 'asap', 'krueger'"),
        (["fetch", "asap", "--colour"], "--colour"),
        (["asap", "--data", "krueger"], "given twice"),
        (["./fetch"], "fetch: no such folder"),
    ):
        status, out, err = command(corpus_command, *words)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err


RUN = (
    "import pathlib, runpy, sys\n"
    "from tinyembed.music import public_corpora\n"
    "public_corpora.TABLES = pathlib.Path(sys.argv.pop(1))\n"
    "runpy.run_module('tinyembed.corpus', run_name='__main__', alter_sys=True)\n"
)


def start_fetch():
    """Start `python -m tinyembed.corpus fetch asap` with the tables of this process."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(public_corpora.TABLES), "fetch", "asap"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Processes started by a background shell ignore Ctrl-C, but a user's command does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "timeout"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_no_file_is_requested_twice(number, home, server, command):
    paths = [f"Bach/{i}/midi_score.mid" for i in range(30)]
    files = offer(server, *paths, below="asap/")
    shutil.rmtree(public_corpora.TABLES)
    tables(public_corpora.TABLES, asap=files)
    held = {f"asap/{path}" for path in paths[12:]}  # the server sends half of each and waits
    server.faults = {path: ["wait"] for path in held}
    folder = public_corpora.folder_of("asap")
    running = start_fetch()
    wait_until(lambda: len(held & set(server.requests)) == fetch.PARALLEL)
    wait_until(lambda: len(missing_files(files, folder)) == 18)
    running.send_signal(number)
    out, err = running.communicate(timeout=15)  # less than the timeout of a thread
    assert out == "" and "Traceback" not in err
    if number == signal.SIGINT:
        assert running.returncode == 130
        assert err.splitlines()[1].startswith("tinyembed: interrupted; files that have arrived are")
    finished = [path for path in paths if (folder / path).exists()]
    assert finished == paths[:12]
    for path in finished:
        assert (folder / path).read_bytes() == music_of(path)
    server.resume.set()
    server.requests.clear()
    status, out, _ = command(corpus_command, "fetch", "asap")
    assert status == 0 and "30 of 30" in out
    assert sorted(server.requests) == sorted(held)
    assert missing_files(files, folder) == []
