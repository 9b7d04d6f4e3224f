"""Count the music in a folder of MIDI files, as in Table 1: python -m tinyembed.corpus DIR

Or download one of the public corpora: python -m tinyembed.corpus fetch NAME
Or read a large collection into a store: python -m tinyembed.corpus build SOURCE... -o STORE
"""

import json
import sys

from tinyembed.cli.building import build, describe, join_shares
from tinyembed.cli.next_runs import after_corpus
from tinyembed.cli.options import Parser, command, music
from tinyembed.cli.processes import together
from tinyembed.cli.running import run
from tinyembed.errors import InputError
from tinyembed.music.census import as_object, as_text, count_units
from tinyembed.music.patterns import Patterns
from tinyembed.music.public_corpora import CORPORA, facts_of, facts_text, fetch_corpus
from tinyembed.music.same_music import leaked_music, same_music
from tinyembed.stores.large import IN_MEMORY
from tinyembed.stores.sources import open_corpus
from tinyembed.stores.store import Store, is_store


def main(argv=None):
    """Run the command. argv: its arguments, by default those of the process."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["fetch"]:  # a folder of that name can be given as ./fetch
        return fetch(words[1:])
    if words[:1] == ["build"]:
        return together(lambda company: build(words[1:], company))
    if words[:1] == ["join"]:
        return join_shares(words[1:])
    options = build_parser().parse_args(words)
    if options.folder is not None and options.data is not None:
        raise InputError("the folder is given twice: DIR and --data DIR are the same")
    if options.folder is not None:
        options.data = options.folder
    if is_store(options.data) and (store := Store.open(options.data)).n_units > IN_MEMORY:
        describe(store.folder, store.found, options.json)
        return
    corpus = open_corpus(options.data, options.seed, options.any_meter, options.splits)
    patterns = Patterns.of(corpus)
    found = count_units(corpus), leaked_music(corpus, patterns), same_music(corpus, patterns)
    if options.json:
        print(json.dumps(as_object(corpus, *found)))
    else:
        print(as_text(corpus, *found, options.duplicates))
        print("\nNext: " + after_corpus(corpus, vars(options), options.seed))


def build_parser():
    parser = Parser(
        "corpus",
        "Count the pieces and the units in a folder of MIDI files.",
        epilog="python -m tinyembed.corpus fetch [NAME] lists the public corpora or downloads one; "
        "python -m tinyembed.corpus build SOURCE... -o STORE reads a large collection",
    )
    words = "folder of MIDI files; the same as --data DIR"
    parser.add("folder", words, music, nargs="?", metavar="DIR")
    words = "list the files that hold the same music, also in other keys and under other names"
    parser.add("--duplicates", words)
    parser.share("--data", "--any-meter", "--splits", "--seed", "--json")
    return parser


def fetch(argv):
    """The subcommand `fetch`: download a corpus, or list those available if no name is given."""
    parser = Parser("corpus fetch", "Download a corpus of piano music, or list those available.")
    words = f"{' or '.join(CORPORA)}; without it, a list of them"
    parser.add("name", words, CORPORA, nargs="?", metavar="NAME")
    parser.share("--json")
    options = parser.parse_args(argv)
    if options.name:
        fetch_corpus(options.name, progress=not options.json)
    found = {name: facts_of(name) for name in ([options.name] if options.name else CORPORA)}
    if options.json:
        print(json.dumps(found[options.name] if options.name else found))
    else:
        print("\n\n".join(facts_text(name, facts) for name, facts in found.items()))
        following = [options.name] if options.name else ["fetch", next(iter(CORPORA))]
        print("\nNext: " + command("corpus", *following))


if __name__ == "__main__":
    run(main)
