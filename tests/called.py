"""Commands called in the test's own process, and what they print."""

from tinyembed.cli.running import exit_status


def calls_of(main):
    """Two functions for the tests of a command, whose main() is given: `call` and `fails`."""

    def call(capsys, *words):
        """The exit status, and what was printed to both streams."""
        status = exit_status(lambda: main([str(word) for word in words]))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    def fails(capsys, status, *words_and_parts):
        """Check that it fails with one line that contains all parts, the last argument."""
        *words, parts = words_and_parts
        got, out, err = call(capsys, *words)
        assert (got, out) == (status, ""), err
        assert len(err.splitlines()) == 1 and "Traceback" not in err
        assert all(str(part) in err for part in parts), err

    return call, fails
