"""One trick against a compiler that works the same thing out too often."""

import jax
import jax.numpy as jnp
from jax import Array


def keep(x: Array) -> Array:
    """Return finite x, bit for bit (but -0 becomes 0), worked out once and kept.

    XLA on a CPU fuses an elementwise chain into every consumer, so a few hundred values that meet a matrix are worked
    out once for every element of the matrix, and a slice that is read after its array was updated makes it copy the
    whole array. It never fuses the operand of a product, so x is written as a product with an identity.
    (`lax.optimization_barrier` is dropped before fusion there.) A value that is not finite spreads to the eight of its
    row: 0 times it is NaN.
    """
    # Eight wide, the chain before it is vectorised; x on the left, vmap makes the product longer and not many.
    rows = jnp.pad(x.reshape(-1), (0, -x.size % 8)).reshape(-1, 8)
    # The default precision of a product is lower than float32 on accelerators.
    kept = jnp.matmul(rows, jnp.eye(8, dtype=x.dtype), precision=jax.lax.Precision.HIGHEST)
    return kept.reshape(-1)[: x.size].reshape(x.shape)


def after(x: Array, first: Array) -> Array:
    """Return x >= 0, unchanged, in a way that needs `first` [n] to be worked out before.

    A loop updates an array in place only where all other reads of it come before; what does not depend on such a
    read may run before it, so XLA copies the whole array to be safe. x becomes max(x, -1 if first_0 is NaN else 0),
    which is x, but no compiler knows.
    """
    return jnp.maximum(x, -jnp.isnan(first.reshape(-1)[0]).astype(x.dtype))
