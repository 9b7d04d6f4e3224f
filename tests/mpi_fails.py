"""Three processes, of which the second fails alone: for test_mpi.py.

mpiexec -n 3 python tests/mpi_fails.py input|bug
"""

import sys

from tinyembed.cli import processes
from tinyembed.errors import InputError

ERRORS = {
    "input": InputError("one/piece.mid: is not what it was"),
    "bug": KeyError("nothing"),
}


def work(company):
    if company.rank == 1:
        raise ERRORS[sys.argv[1]]
    company.gather([1.0])  # as in a step


processes.PATIENCE = 2.0  # seconds: the test need not wait for longer
sys.exit(processes.together(work))
