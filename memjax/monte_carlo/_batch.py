"""One compiled program for a batch of chips: vmapped, sharded over devices, of a size that fits the memory."""

import functools
import os
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from memjax.monte_carlo._summary import not_finite

AUTO: Literal["auto"] = "auto"

_PROBE = 8  # chips a device of the program whose memory is looked at
# Beyond some thousand chips a batch no longer gets faster, but the study loses more when it is interrupted.
_MOST = 4096
# A processor's cores share its memory with everything else, and run fastest from its caches.
_PROCESSOR = 256 * 2**20  # bytes a device


class Batch(NamedTuple):
    """A compiled batch.

    size  chips at once, over all devices
    call  (numbers uint32 [size], inputs of these chips) -> (values, leaves [size, ...]; failed, bool [size])
    """

    size: int
    call: Callable[[np.ndarray, Any], tuple[Any, Array]]


def mesh_of(mesh: Mesh | None) -> Mesh:
    """Return the mesh given, or all devices of this process in a row. Raises ValueError for one not accepted."""
    if mesh is None:
        return Mesh(np.array(jax.local_devices()), ("chips",))
    if len(mesh.axis_names) != 1 or mesh.is_multi_process:
        raise ValueError(
            f"monte_carlo: mesh with axes {mesh.axis_names} over {mesh.size} devices: accepted is one axis over "
            "devices of this process"
        )
    return mesh


def compiled(
    chip: Callable,
    key: Array,
    args: tuple,
    inputs: Any,
    mesh: Mesh,
    most: int,
    batch_size: int | Literal["auto"] | None,
    memory: int | None,
    block: int | None,
) -> Batch:
    """Compile chip(key, [inputs,] *args) for a batch; at most `most` chips are ever asked for.

    batch_size is a number of chips a device, None for as many as there are, or AUTO for as many as fit in `memory`
    bytes a device by the compiler's own account; with blocks it is made up to whole ones.
    """
    devices, unit = mesh.size, block or 1

    def whole_blocks(size: int) -> int:
        return max(1, -(-size // unit)) * unit

    needed = whole_blocks(-(-most // devices))

    def some(numbers, rows, key, args):
        def one(number, row):
            own = jax.random.fold_in(key, number)
            return chip(own, *args) if inputs is None else chip(own, row, *args)

        values = jax.vmap(one)(numbers, rows)
        return values, not_finite(values)

    def blocks(numbers, rows, key, args, count):
        numbers, rows = jax.tree.map(lambda x: x.reshape(-1, unit, *x.shape[1:]), (numbers, rows))

        def work(i):
            own, row = jax.tree.map(lambda x: x[i], (numbers, rows))
            return some(own, row, key, args)

        like = jax.eval_shape(work, 0)
        made = jax.tree.map(lambda x: jnp.zeros((len(numbers), *x.shape), x.dtype), like)

        def step(i, made):
            return jax.tree.map(lambda whole, x: whole.at[i].set(x), made, work(i))

        # The count is an argument: known to the compiler, a loop of one turn would become another program.
        made = jax.lax.fori_loop(0, count, step, made)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), made)

    many = some if block is None else blocks

    if devices > 1:
        split, whole = PartitionSpec(mesh.axis_names[0]), PartitionSpec()
        # Unchecked: a chip's scan may begin with constants, which no device owns, and go on with what is its own.
        specs = (split, split, whole, whole, *(() if block is None else (whole,)))
        many = jax.shard_map(many, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)
    place = NamedSharding(mesh, PartitionSpec()) if devices > 1 else mesh.devices.flat[0]
    key, args = jax.device_put((key, args), place)
    program = jax.jit(many)

    @functools.cache
    def built(size: int):
        def row(x):
            return jax.ShapeDtypeStruct((size * devices, *x.shape[1:]), jnp.result_type(x))

        numbers = jax.ShapeDtypeStruct((size * devices,), jnp.uint32)
        return program.lower(numbers, jax.tree.map(row, inputs), key, args, *turns(size)).compile()

    def turns(size: int) -> tuple:
        return () if block is None else (np.int32(size // unit),)

    if batch_size == AUTO:
        size = _fitting(built, needed, unit, _budget(mesh) if memory is None else memory)
    else:
        size = needed if batch_size is None else min(whole_blocks(batch_size), needed)
    return Batch(size * devices, lambda numbers, rows: built(size)(numbers, rows, key, args, *turns(size)))


def _fitting(built: Callable, needed: int, unit: int, memory: int) -> int:
    """Return a number of chips a device, whole units and at most `needed`, whose program fits in `memory` bytes.

    One unit, where even that does not.
    """
    probe = min(-(-_PROBE // unit) * unit, needed)
    each = max(1.0, _bytes(built(probe)) / probe)
    size = max(1, int(min(memory / each, needed, _MOST)) // unit)
    while size > 1 and _bytes(built(size * unit)) > memory:  # what does not grow in proportion to the chips
        size //= 2
    return size * unit


def _bytes(program: Any) -> int:
    """Return what a compiled program takes for its work and its results on one device."""
    found = program.memory_analysis()
    if found is None:
        raise ValueError('monte_carlo: batch_size = "auto": this backend tells no memory; accepted is a number here')
    return found.temp_size_in_bytes + found.output_size_in_bytes


def _budget(mesh: Mesh) -> int:
    """Return the bytes that a batch may take on one device."""
    device = mesh.devices.flat[0]
    if device.platform != "cpu":
        limit = (device.memory_stats() or {}).get("bytes_limit")
        return int(0.6 * limit) if limit else 4 * 2**30
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not on every system
        return _PROCESSOR
    return min(_PROCESSOR, free // (2 * mesh.size))
