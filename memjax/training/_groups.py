"""The chips of a run in groups: one compiled program works a group at a time, and the devices share the groups out.

A chip's state is megabytes, and the loop updates it in place: a group is as large as an accelerator's memory allows. On
a processor the chips of a group only push each other out of its caches, so that groups are of one chip there, one group
a core: 25 chips in one program take 1.4 times as long as one after the other.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import jax
import numpy as np
from jax import Array

from memjax.errors import UserError

AUTO: Literal["auto"] = "auto"
_SHARE = 0.6  # of an accelerator's memory that a group's states may take; the loop and the evaluation need some more
_UNKNOWN = 4 * 2**30  # bytes, where the accelerator does not say what it has


class Groups:
    """Chips 0 .. n - 1 with their keys [n], `size` a group; group g lives on device g modulo their number."""

    def __init__(self, keys: Array, size: int):
        self.devices = jax.local_devices()
        self.n, self.bounds = len(keys), [(a, min(a + size, len(keys))) for a in range(0, len(keys), size)]
        # Beyond one group a device, an accelerator holds the group that it works on, and the host the others.
        self.leaves_device = self.devices[0].platform != "cpu" and len(self.bounds) > len(self.devices)
        self.used = self.devices[: len(self.bounds)]
        self.keys = self.split(keys)

    def __len__(self) -> int:
        return len(self.bounds)

    def split(self, tree: Any) -> list[Any]:
        """Cut leaves [n, ...] into groups, each on its device."""
        if len(self) == 1:
            return [tree]
        parts = [jax.tree.map(lambda x, a=a, b=b: x[a:b], tree) for a, b in self.bounds]
        return [jax.device_put(part, self.device(g)) for g, part in enumerate(parts)]

    def join(self, parts: Sequence[Any]) -> Any:
        """Put groups together again: leaves [n, ...], on the host where there are several groups."""
        if len(parts) == 1:
            return parts[0]
        return jax.tree.map(lambda *x: np.concatenate([np.asarray(each) for each in x]), *parts)

    def device(self, group: int) -> Any:
        """Return the device that a group lives on."""
        return self.devices[group % len(self.devices)]

    def everywhere(self, tree: Any) -> list[Any]:
        """Copy what all chips share to every device in use -> one copy a group."""
        if len(self) == 1:
            return [tree]
        copies = [jax.device_put(tree, device) for device in self.used]
        return [copies[g % len(self.used)] for g in range(len(self))]

    def map(self, function: Callable, *each: Sequence[Any]) -> list[Any]:
        """Call function(group's parts...) for every group; those of different devices run side by side."""
        groups = list(zip(*each, strict=True))
        if len(self) == 1:
            return [function(*groups[0])]
        made: list[Any] = [None] * len(groups)

        def work(first: int) -> None:
            for g in range(first, len(groups), len(self.devices)):
                if self.leaves_device:
                    made[g] = jax.device_get(function(*jax.device_put(groups[g], self.device(g))))
                else:
                    made[g] = jax.block_until_ready(function(*groups[g]))

        # A thread a device: what waits for one device on the host must not hold up the others.
        with ThreadPoolExecutor(len(self.used)) as pool:
            list(pool.map(work, range(len(self.used))))
        return made


def size(wanted: int | Literal["auto"] | None, state: Any, chips: int) -> int:
    """Return the chips of a group: `wanted`, all of them (None), or as many as fit the memory ("auto").

    state is one chip's, or what `jax.eval_shape` makes of it. Raises UserError for a number below 1.
    """
    if wanted is None:
        return chips
    if wanted != AUTO:
        if wanted < 1:
            raise UserError(f"training: {wanted} chips at once: accepted is at least 1, or auto")
        return min(wanted, chips)
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        return 1
    limit = (device.memory_stats() or {}).get("bytes_limit")
    fitting = max(1, int((_SHARE * limit if limit else _UNKNOWN) // max(1, nbytes(state))))
    groups = -(-chips // fitting)
    return -(-chips // groups)  # groups of one length, or nearly: each length is a program


def nbytes(state: Any) -> int:
    """Return the bytes of a pytree."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))


def peak(devices: Sequence[Any]) -> int:
    """Return the most memory that was in use until now [bytes]: of the accelerators, or of this process."""
    if devices[0].platform != "cpu":
        return sum((device.memory_stats() or {}).get("peak_bytes_in_use", 0) for device in devices)
    try:
        import resource
    except ImportError:  # not on every system
        return 0
    import sys

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
