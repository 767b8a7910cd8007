"""Several processes, on one host or on many, through JAX's own runtime.

Every process works its own share of the chips on its own devices; they meet only at the end, to put the values
together. A process that dies takes with it the batches that it had not finished, and nothing else.
"""

import os
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

# Variables that say how many processes a launcher has started: SLURM (of the step, not of the allocation, which a batch
# script of one process also sees) and Open MPI.
_LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE")


def start(coordinator: str | None = None, processes: int | None = None, process_id: int | None = None) -> None:
    """Join the other processes of a study; call it before anything else of JAX.

    Under SLURM's srun or Open MPI's mpirun nothing is to be given: JAX finds the others. Elsewhere every process gives
    the coordinator's address "host:port", their number and its own. A single process needs no call, and one does no
    harm. Raises ValueError where some of the three are given and some are not.
    """
    given = {"coordinator": coordinator, "processes": processes, "process_id": process_id}
    absent = [name for name, value in given.items() if value is None]
    if len(absent) == 3:
        if any(int(os.environ.get(name) or 1) > 1 for name in _LAUNCHERS):
            jax.distributed.initialize()
        return
    if absent:
        raise ValueError(
            f"monte_carlo: {', '.join(absent)} not given: accepted are coordinator, processes and process_id together, "
            "or none of them under SLURM or Open MPI"
        )
    jax.distributed.initialize(coordinator, processes, process_id)


def wait(name: str) -> None:
    """Wait until all processes have come to the point `name`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(f"memjax {name}")


def gather(tree: Any) -> Any:
    """Return the leaves [n, ...] of all processes, each of the same shape, one after another [P n, ...]."""
    if jax.process_count() == 1:
        return tree

    def joined(leaf: np.ndarray) -> np.ndarray:
        # As bytes: on the way through the devices 64-bit values would be cut to 32 where those are not enabled.
        leaf = np.ascontiguousarray(leaf)
        raw = multihost_utils.process_allgather(leaf.reshape(-1).view(np.uint8))
        return np.ascontiguousarray(raw).reshape(-1).view(leaf.dtype).reshape(-1, *leaf.shape[1:])

    return jax.tree.map(joined, tree)
