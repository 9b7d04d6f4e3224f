"""The process that fuzzes, for guided.py: atheris in it does not return.

    python -m benchmarks.guided_child TARGET FOLDER SECONDS PREFIX

FOLDER: an empty one, for the inputs to go on from; PREFIX: how the names of findings begin.
"""

import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tinyembed"], enable_loader_override=False):
    from benchmarks.fuzz import EXTREMES, MOST_SECONDS, WORDS, limit_memory
    from benchmarks.guided_targets import TARGETS
    from tinyembed.backends import choice

LARGEST = 200_000  # bytes of an input


def main(name, folder, seconds, prefix):
    choice.use("cpu")  # not numba: the fuzzer sees the branches of Python code alone
    stack = ExitStack()  # never closed: the process ends in the fuzzer,
    tempfile.tempdir = folder  # and its files with this folder
    target = TARGETS[name](stack)
    corpus, words = Path(folder, "corpus"), Path(folder, "words")
    corpus.mkdir()
    for n, seed in enumerate(target.seeds):
        (corpus / f"{n}").write_bytes(seed)
        target.check(seed)  # so that all is loaded before the memory is limited
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in (*EXTREMES, *WORDS))
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    options = [
        f"-max_total_time={seconds}", f"-timeout={MOST_SECONDS}", f"-max_len={LARGEST}",
        "-rss_limit_mb=0", f"-artifact_prefix={prefix}", "-print_final_stats=1", f"-dict={words}",
    ]  # fmt: skip

    def mutate(data, size, seed):
        return target.mutate(data, random.Random(seed), bytewise)[:size]

    def check(data):
        limit_memory()  # anew for each input: the fuzzer keeps more and more of them in memory
        return target.check(data)

    mutator = {"custom_mutator": mutate} if target.mutate else {}
    atheris.Setup([sys.argv[0], *options, str(corpus)], check, **mutator)
    atheris.Fuzz()


def bytewise(data):
    """A mutation of some bytes by libFuzzer, which may add as many again."""
    return atheris.Mutate(data, 2 * len(data) + 64)


if __name__ == "__main__":
    main(*sys.argv[1:])
