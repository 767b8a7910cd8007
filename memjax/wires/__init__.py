"""Arrays as circuits: the resistance of word and bit lines, exactly, for linear and nonlinear cells, with gradients.

found = wires.solve(g, v, r_word=1.0, r_bit=1.0)  # found.i [..., n], found.v_word and found.v_bit [..., m, n]
g_eff = wires.effective(g, wires.Wires(1.0, 1.0))  # i = v @ g_eff, for many inputs of one array
"""

from memjax.wires._power import Power, power
from memjax.wires._schemes import Drive, select
from memjax.wires._solve import Wires, WireSolution, effective, solve

__all__ = ["Drive", "Power", "WireSolution", "Wires", "effective", "power", "select", "solve"]
