"""A crossbar of resistors with wire resistance, as a netlist for an operating point."""

import numpy as np

from memjax.devices.base import accept


def crossbar_netlist(g, v, r_word: float = 0.0, r_bit: float = 0.0, *, current: str | None = None) -> str:
    """Return an ngspice deck of a crossbar g [m, n] in S, its m word lines driven by v [m] in V from the left.

    r_word: resistance in ohm of the segment before each cell of a word line, the driver's first; r_bit: of the segment
    after each cell of a bit line, the last to virtual ground. 0: the line is one node. A cell of 0 S is left out.
    current: a cell's current in A instead of Ohm's law, an ngspice expression in v(plus,minus) and {g}, the cell's
    number in g, as "{g}*0.25*sinh(v(plus,minus)/0.25)".
    Running it gives "i(vb<j>)" [1], the output current of bit line j in A, "v(w<i>_<j>)" and "v(b<i>_<j>)".

    Raises ValueError on shapes that do not fit, and on negative or infinite values.
    """
    g, v = np.asarray(g, float), np.asarray(v, float)
    if g.ndim != 2 or g.size == 0 or v.shape != g.shape[:1]:
        raise ValueError(f"g has shape {g.shape}, v {v.shape}: accepted are g [m, n] and v [m]")
    accept("g", g, np.isfinite(g) & (g >= 0), "0 S or more")
    accept("v", v, np.isfinite(v), "a finite voltage")
    accept("r_word", r_word, np.isfinite(r_word) and r_word >= 0, "0 ohm or more")
    accept("r_bit", r_bit, np.isfinite(r_bit) and r_bit >= 0, "0 ohm or more")
    m, n = g.shape

    def word(i, j):
        return f"w{i}_{j}" if r_word else f"in{i}"

    def bit(i, j):
        return f"b{i}_{j}" if r_bit else f"out{j}"

    lines = [f"* memjax: crossbar {m} x {n}"]
    if current is not None:
        lines += [".subckt cell plus minus params: g=0", f"Bcell plus minus I = {current}", ".ends"]
        # A voltage of microvolts decides a steep cell's current.
        lines.append(".options reltol=1e-9 vntol=1e-12 abstol=1e-18")
    lines += [f"Vin{i} in{i} 0 {float(v[i])!r}" for i in range(m)]
    lines += [f"Vb{j} out{j} 0 0" for j in range(n)]
    for i in range(m):
        for j in range(n):
            if g[i, j] and current is not None:
                lines.append(f"Xg{i}_{j} {word(i, j)} {bit(i, j)} cell g={float(g[i, j])!r}")
            elif g[i, j]:
                lines.append(f"Rg{i}_{j} {word(i, j)} {bit(i, j)} {float(1 / g[i, j])!r}")
            if r_word:
                lines.append(f"Rw{i}_{j} {word(i, j - 1) if j else f'in{i}'} {word(i, j)} {float(r_word)!r}")
            if r_bit:
                lines.append(f"Rb{i}_{j} {bit(i, j)} {bit(i + 1, j) if i + 1 < m else f'out{j}'} {float(r_bit)!r}")
    return "\n".join([*lines, ".op", ".end"]) + "\n"
