"""The subcommands `corpus build` and `corpus join`: a large collection becomes a store."""

import json
from functools import partial

from tinyembed.backends.cpu.threads import usable_cores
from tinyembed.cli.options import Parser, command, count, folder, share
from tinyembed.errors import InputError
from tinyembed.storage.locks import locked
from tinyembed.storage.text import printable
from tinyembed.stores.build import run_tasks
from tinyembed.stores.join import join
from tinyembed.stores.plan import FILES_PER_TASK, make_plan, open_plan
from tinyembed.stores.tasks import is_done


def build(argv, company=None):
    """Read the files of some sources, or go on where it was stopped. Returns the exit status.

    company: the processes that share the work (backends/mpi), or None.
    """
    options = build_parser().parse_args(argv)
    if options.files_per_task < 1:
        raise InputError("--files-per-task 0: at least 1 is needed")
    first, once = not company or company.rank == 0, company.once if company else lambda work: work()
    if company:
        if options.shard != ALL:
            raise InputError("--shard: under mpiexec each process takes its own share")
        company.compare(vars(options))
    part = (company.rank, company.size) if company else options.shard
    progress = None if first and not options.json else False
    asked = options.sources, options.any_meter, options.files_per_task
    plan = once(partial(make_plan, options.out, *asked, progress))
    workers = max(1, usable_cores() // company.local_size) if company else None
    run_tasks(plan, part, options.workers or workers, progress)
    if company:
        company.objects(None)  # wait for all
    elif not all(is_done(plan.folder, task) for task in range(plan.n_tasks)):
        following = command("corpus", "join", options.out)
        if options.json:
            print(json.dumps({"out": str(options.out), "files": plan.files, "joined": False}))
        else:
            print(f"share {part[0] + 1} of {part[1]} is read; some of the others are not")
            print(f"\nNext: when all are, {following}")
        return 0
    found = once(partial(_join, plan, progress))
    if first:
        describe(plan.folder, found, options.json, plan.notes)
    return 0


def join_shares(argv):
    """Join the shards that several jobs have read. Returns the exit status."""
    parser = Parser("corpus join", "Join the shards of a store that several jobs have read.")
    parser.add("out", "the store", folder, metavar="STORE")
    parser.share("--json")
    options = parser.parse_args(argv)
    plan = open_plan(options.out)
    found = _join(plan, False if options.json else None)
    describe(plan.folder, found, options.json, plan.notes)
    return 0


ALL = 0, 1  # the share of a single job


def build_parser():
    """All options of `corpus build`."""
    parser = Parser(
        "corpus build",
        "Read any number of MIDI files and scores into a store, which other commands take for "
        "--data. A build that was stopped goes on when its command is repeated.",
    )
    words = "a folder, a music file, or a text file with a path per line"
    parser.add("sources", words, folder, nargs="+", metavar="SOURCE")
    parser.add("-o --out", "folder to write", folder, metavar="STORE", required=True)
    words = "read only share I of N, in one of N independent jobs; then corpus join"
    parser.add("--shard", words, share, ALL, "I/N")
    parser.add("--workers", "processes that read (0: one per core)", count, 0, "N")
    parser.add("--files-per-task", "files per shard of the store", count, FILES_PER_TASK, "N")
    parser.share("--any-meter", "--json")
    return parser


def _join(plan, progress):
    with locked(plan.folder, "the store"):
        return join(plan, progress)


def describe(folder, found, as_json, notes=()):
    """Print what a store holds. found: what its store.json says; notes: lines to add."""
    pieces, units = sum(found["pieces"]), sum(found["units"])
    if as_json:
        names = "files", "left_out", "same_files", "same_units"
        counts = {"pieces": pieces, "units": units, **{name: found[name] for name in names}}
        print(json.dumps({"out": str(folder), **counts, "joined": True, "notes": [*notes]}))
        return
    print(f"{printable(folder)}: {pieces:,} pieces of {len(found['composers']):,} composers")
    print(f"{units:,} different units in one key; {found['same_units']:,} duplicates left out")
    print(
        f"{found['left_out']:,} of {found['files']:,} files left out, {found['same_files']:,} of "
        f"them duplicates: {printable(folder / 'left_out.tsv')}"
    )
    for note in notes:
        print(f"note: {note}")
    print("\nNext: " + command("train", "--data", str(folder)))
