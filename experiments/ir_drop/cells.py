"""Selecting one cell of an array with wires: what nonlinear cells and selectors change.

All cells hold the same current at full voltage, I_ON = 100 uA where they are on (100 times less where off) with 1 V
across the memristor; the voltage is chosen so that the selected one has that with ideal wires:

    ohmic      i = g u
    sinh       i = g v_0 sinh(u / v_0) / (v_0 sinh(1 / v_0)), v_0 = 0.2 V: half the voltage, 8 % of the current
    selector   1S1R, an ohmic device behind a threshold selector (`devices.one_selector`): 1.92 V in all

The selected cell is the one farthest from both of its terminals, and all others are on: the worst case.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memjax import devices, wires

ON, OFF = 1e-4, 1e-6  # S
V_0 = 0.2  # V
R = 1.0  # ohm
SCHEMES = ("half", "third", "ground", "floating")
SELECTOR = devices.one_selector(devices.get("exponential"))


def ohmic(g: jax.Array):
    return lambda u: g * u


def sinh(g: jax.Array):
    return lambda u: g * jnp.sinh(u / V_0) / np.sinh(1 / V_0)


def selector(g: jax.Array):
    params = SELECTOR.Params()
    state = SELECTOR.init(params, (g - OFF) / (ON - OFF))
    return lambda u: SELECTOR.current(params, state, u)


CELLS = {"ohmic": ohmic, "sinh": sinh, "selector": selector}


def voltage(cell: str) -> float:
    """Return the voltage that puts 1 V across the memristor of a cell that is on [V]."""
    params = SELECTOR.Params()
    return 1.0 + (float(params.v_0 * np.arcsinh(ON / params.i_0)) if cell == "selector" else 0.0)


@partial(jax.jit, static_argnames=("cell", "n"))
def select(cell: str, n: int, r: Any) -> dict[str, jax.Array]:
    """Select the farthest cell of an n x n array, in every scheme, on and off: numbers [schemes, 2].

    delivered  voltage across the selected cell, relative to what is asked for
    read       current out of the selected bit line [A]
    row        current into the selected word line [A]
    i_cell     current of the selected cell [A]
    power      power delivered, relative to what the selected cell takes
    disturb    largest voltage across any other cell, relative to what is asked for
    in_wires   share of the power delivered that heats the wires
    """
    v = voltage(cell)
    drives = [wires.select((n, n), 0, n - 1, v, scheme) for scheme in SCHEMES]
    drive = jax.tree.map(lambda *x: jnp.stack(x)[:, None], *drives)  # [schemes, 1, lines]
    g = jnp.full((len(SCHEMES), 2, n, n), ON).at[:, 1, 0, n - 1].set(OFF)
    iv = CELLS[cell](g)
    found = wires.solve(g / v, drive.v, r, r, v_bit=drive.v_bit, r_source=drive.r_source, r_sense=drive.r_sense, iv=iv)
    u = found.v_word - found.v_bit
    mine = jnp.zeros((n, n), bool).at[0, n - 1].set(True)
    lines = wires.Wires(r, r, drive.r_source, drive.r_sense)
    spent = wires.power(found, lines, drive.v, drive.v_bit)
    i = found.i_cell[..., 0, n - 1]
    return {
        "delivered": u[..., 0, n - 1] / v,
        "read": found.i[..., n - 1],
        "row": found.i_word[..., 0],
        "i_cell": i,
        "power": spent.delivered / (i * u[..., 0, n - 1]),
        "disturb": jnp.max(jnp.where(mine, 0, jnp.abs(u)), axis=(-2, -1)) / v,
        "in_wires": (spent.word + spent.bit) / spent.delivered,
        "converged": found.converged,
        "balance": (spent.cells + spent.word + spent.bit + spent.terminals) / spent.delivered - 1,
    }


def study(sizes: list[int]) -> list[dict]:
    """Return a row for every cell, size and scheme: the selected cell on, and what a read of it tells on from off."""
    rows = []
    with jax.enable_x64(True):
        for cell in CELLS:
            for n in sizes:
                found = {name: np.asarray(x) for name, x in select(cell, n, R).items()}
                assert found.pop("converged").all(), f"{cell}, {n}: not converged"
                assert np.abs(found.pop("balance")).max() < 1e-6, f"{cell}, {n}: power does not balance"
                for k, scheme in enumerate(SCHEMES):
                    on, off = ({name: float(x[k, state]) for name, x in found.items()} for state in (0, 1))
                    row = {"cell": cell, "n": n, "scheme": scheme, "v_V": voltage(cell), **on}
                    rows.append({**row, "read_off": off["read"], "margin": 1 - off["read"] / on["read"]})
    return rows
