"""How many processes a launcher of MPI started, from the environment alone: one needs no MPI.

    mpiexec -n 4 python -m tinyembed.train ...

TINYEMBED_MPI=0 says that each of them works by itself.
"""

import os

LAUNCHERS = {  # the variables for the number of processes and for the place of this one
    "PMI_SIZE": "PMI_RANK",  # MPICH, Intel MPI and others
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",  # Open MPI
    "MV2_COMM_WORLD_SIZE": "MV2_COMM_WORLD_RANK",  # MVAPICH
    "SLURM_STEP_NUM_TASKS": "SLURM_PROCID",  # srun, which also starts the launchers above
}
VARIABLE = "TINYEMBED_MPI"


def started():
    """The place of this process, from 0 on, and how many there are: (0, 1) without a launcher."""
    if os.environ.get(VARIABLE, "").strip() != "0":
        for size, rank in LAUNCHERS.items():
            if size in os.environ:
                return _number(rank, 0), _number(size, 1)
    return 0, 1


def _number(name, otherwise):
    text = os.environ.get(name, "").strip()
    return int(text) if text.isdigit() else otherwise
