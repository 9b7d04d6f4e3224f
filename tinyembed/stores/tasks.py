"""One task: read its files one after the other, and make a shard of what they hold.

The journal (journal.py) knows each file that was read. So whoever goes on after a kill reads the
files that are left, and makes the same shard.
"""

import json
from pathlib import Path

import numpy as np

from tinyembed.errors import MusicError
from tinyembed.music.inputs import read_file
from tinyembed.music.piece import Piece
from tinyembed.stores.journal import Journal
from tinyembed.stores.shards import save_shard

FOLDER = "shards"


def shard_file(folder, task):
    """The path of a task's shard."""
    return Path(folder) / FOLDER / f"{task:05}.shard"


def journal_file(folder, task):
    """The path of a task's journal, which is there while the task is under way."""
    return Path(folder) / FOLDER / f"{task:05}.journal"


def is_done(folder, task):
    """Whether a task has its shard, and nothing is left of its journal."""
    return shard_file(folder, task).exists() and not journal_file(folder, task).exists()


def read_task(plan, task, tell=lambda n: None):
    """Read a task's files, those that its journal does not know yet, and write its shard.

    tell: is given the number of files that the journal knows, again and again. Raises OSError where
    something cannot be written; what was read is not lost.
    """
    items, journal = plan.items(task), Journal(journal_file(plan.folder, task))
    try:
        if shard_file(plan.folder, task).exists():  # a kill came before the journal was removed
            journal.path.unlink()
            return
        tell(journal.count)
        for _, _, path, reason in items[journal.count :]:
            journal.append(packed(reason or _read(path, plan.any_meter)))
            tell(journal.count)
        pieces, left_out = [], []
        for (composer, name, _, _), record in zip(items, journal.records(), strict=True):
            found = unpacked(record)
            if isinstance(found, str):
                left_out.append((name, found))
            else:
                pieces.append((composer, name, found))
        save_shard(shard_file(plan.folder, task), pieces, left_out)
        journal.path.unlink()
    finally:
        journal.close()


def blame(plan, task, reason):
    """Leave out the file that a task was reading when its process died. Returns whether one was."""
    journal = Journal(journal_file(plan.folder, task))
    try:
        was_reading = journal.count < len(plan.items(task))
        if was_reading:
            journal.append(packed(reason))
        return was_reading
    finally:
        journal.close()


def _read(path, any_meter):
    """The `Piece`, or the reason why there is none, in one line."""
    try:
        return read_file(path, any_meter=any_meter)
    except MusicError as error:
        reason = str(error)
    except Exception as error:  # a fault of ours costs one file
        reason = f"unexpected {type(error).__name__}: {error}".rstrip(": ")
    return " ".join(reason.split())


def packed(found):
    """A record: a line of JSON, and the onsets of a piece. found: a `Piece`, or a reason."""
    if isinstance(found, str):
        return json.dumps(found).encode()
    about = len(found.ticks), int(found.n_beats), float(found.on_grid), found.repairs
    onsets = found.ticks.astype("<i4").tobytes() + found.pitches.astype(np.uint8).tobytes()
    return json.dumps(about).encode() + b"\n" + onsets


def unpacked(record):
    """What was packed."""
    line, _, onsets = record.partition(b"\n")
    about = json.loads(line)
    if isinstance(about, str):
        return about
    n, beats, on_grid, repairs = about
    ticks, pitches = np.frombuffer(onsets, "<i4", n), np.frombuffer(onsets, np.uint8, n, 4 * n)
    return Piece(ticks, pitches, beats, on_grid, (), tuple(repairs))
