"""The next steps after `embed` and `search`: commands that work when pasted."""

import os
from contextlib import suppress

from tinyembed.cli.options import as_word, command, model_words, numbered
from tinyembed.errors import InputError, WorkError
from tinyembed.music.default_corpus import scores_folder
from tinyembed.music.folders import find_pieces, is_connected
from tinyembed.neighbours.results import is_medley
from tinyembed.stores.sources import as_typed

NEIGHBOURS = 10  # of a search, by default


def search_after_embed(options, paths, table):
    """The search for the first unit with an onset of the first file of a `Table`, or for that file.

    options: of `embed`; paths: of the files in the table. It searches a folder that holds some of
    them, or else the default corpus. None if there is neither, or only a pipe to search for.
    """
    kept = [path for path in paths if not is_connected(path)]
    if not kept:
        return None
    if options.per == "piece":
        words = [as_word(kept[0]), "--per", "piece"]
    else:
        of_first = table.file_index == paths.index(kept[0])
        beat = int(table.beat[table.sounds & of_first][0])
        words = [as_word(kept[0]), "--beat", str(beat)]
    given = [path for path in options.paths if os.path.isdir(path) and _holds(path, kept)]
    beside = os.path.dirname(kept[0]) or os.curdir
    if given or not _has_subfolders(beside):
        words += ["--in", as_typed(os.path.abspath([*given, beside][0]))]
    elif not _has_default_corpus():
        return None
    return command("search", *words, *model_words(options))


def search_again(options):
    """The same search, which also writes the neighbours as music. None for a pipe.

    options: of `search`.
    """
    if is_connected(options.query):
        return None
    words = [options.query]
    words += ["--per", "piece"] if options.per == "piece" else ["--beat", str(options.beat)]
    words += ["--in", as_typed(options.data)] if options.data else []
    words += ["-k", str(options.k)] if options.k != NEIGHBOURS else []
    words += ["--other-piece"] if options.other_piece else []
    words += ["--other-composer"] if options.other_composer else []
    return command("search", *words, *model_words(options), "--out", free_name(options.query))


def free_name(query):
    """A name for a MIDI file of neighbours here: free, or that of an earlier one but the query."""
    for name in numbered("neighbours", ".mid"):
        if not os.path.lexists(name):
            return name
        with suppress(OSError):
            if is_medley(name) and not os.path.samefile(name, query):
                return name


def _holds(folder, paths):
    """Whether one of these files is a piece of the corpus in a folder."""
    with suppress(InputError, WorkError):
        real = {os.path.realpath(path) for path in paths}
        return any(os.path.realpath(path) in real for _, _, path in find_pieces(folder)[0])
    return False


def _has_subfolders(folder):
    """Whether its files may be left out of a corpus: they may lie beside composers' folders."""
    with suppress(OSError), os.scandir(folder) as entries:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in entries)
    return True


def _has_default_corpus():
    with suppress(InputError):
        return bool(scores_folder())
    return False
