"""The two ways in which a command can fail, each with one clear line.

Code deep inside raises one of these with a message that names the file or the option and the
way out; `tinyembed.cli.running.run` prints it and turns it into the exit status.
"""


class InputError(ValueError):
    """What was asked cannot be done as asked: a wrong option, a missing folder. Exit status 2."""

    exit_status = 2


class WorkError(RuntimeError):
    """What was asked for was right, but doing it failed: a full disk, a NaN loss. Exit status 1."""

    exit_status = 1


class MusicError(WorkError):
    """One file holds no music we can use. The message is the reason alone, without the name."""
