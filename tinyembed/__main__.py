"""python -m tinyembed: the list of commands. python -m tinyembed VERB ...: one of them."""

import importlib
import os
import sys

import tinyembed
from tinyembed.cli.running import exit_status, run
from tinyembed.errors import InputError

COMMANDS = {
    "train": "train a model on a folder of music and keep its best weights",
    "corpus": "describe a folder of music, or download a public corpus",
    "embed": "write the embedding of every beat of MIDI files and scores",
    "search": "find the units of a corpus that are nearest to a unit of a piece",
    "explore": "write a page to see and hear the units of a corpus",
    "evaluate": "run the paper's two experiments on a trained model",
    "reproduce": "train the paper's seven models, run both experiments, write a report",
}


def main():
    """Run the command that the first argument names, or list all commands."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb not in COMMANDS:
        sys.exit(exit_status(lambda: answer(verb)))
    command = importlib.import_module(f"tinyembed.{verb}")
    del sys.argv[1]  # a command finds its own arguments alone
    run(command.main)


def answer(word):
    """Print what --help or --version ask for. Raises InputError for a word that is no command."""
    if word == "--version":
        print(f"tinyembed {tinyembed.__version__}")
    elif word in ("-h", "--help"):
        in_module = os.path.basename(sys.argv[0]) == "__main__.py"
        name = "python -m tinyembed" if in_module else "tinyembed"
        print(f"usage: {name} COMMAND ...\n")
        for verb, purpose in COMMANDS.items():
            print(f"  {verb:11}{purpose}")
        print(f"\n{name} COMMAND --help lists the options of a command.")
    else:
        raise InputError(f"{word}: no such command; choose one of {', '.join(COMMANDS)}")


if __name__ == "__main__":
    main()
