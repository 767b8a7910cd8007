"""Truth for the tests of wires: every node's Kirchhoff law as one sparse matrix, nothing shared with the package."""

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph, linalg


class Truth(NamedTuple):
    i: np.ndarray
    v_word: np.ndarray
    v_bit: np.ndarray
    i_word: np.ndarray


def nodal(g, v, r_word, r_bit, r_source=0.0, r_sense=0.0, v_bit=0.0, topology="single"):
    """Solve one array g [m, n] under v [m] in float64; nodes without resistance between them are one node."""
    g, v = np.asarray(g, float), np.asarray(v, float)
    m, n = g.shape
    word = np.arange(m * n).reshape(m, n)
    bit = word + m * n
    drive, sense = 2 * m * n + np.arange(m), 2 * m * n + m + np.arange(n)
    source, ground = np.broadcast_to(r_source, m), np.broadcast_to(r_sense, n)
    wires = [
        (word[:, :-1], word[:, 1:], r_word),
        (bit[:-1], bit[1:], r_bit),
        (drive, word[:, 0], r_word + source),
        (bit[-1], sense, r_bit + ground),
    ]
    if topology in ("double_drive", "double"):
        wires.append((drive, word[:, -1], r_word + source))
    if topology in ("double_sense", "double"):
        wires.append((bit[0], sense, r_bit + ground))
    a, b, r = (
        np.concatenate([np.broadcast_to(x[k], np.shape(x[0])).ravel() for x in wires]).astype((int, int, float)[k])
        for k in range(3)
    )
    size = 2 * m * n + m + n
    short = r == 0
    _, node = csgraph.connected_components(sparse.coo_matrix((short[short], (a[short], b[short])), (size, size)))
    a, b = np.r_[a[~short], word.ravel()], np.r_[b[~short], bit.ravel()]
    s = np.r_[1 / r[~short], g.ravel()]
    a, b = node[a], node[b]
    laplacian = sparse.coo_matrix((np.r_[s, s, -s, -s], (np.r_[a, b, a, b], np.r_[a, b, b, a]))).tocsc()
    x, held = np.zeros(node.max() + 1), np.zeros(node.max() + 1, bool)
    x[node[drive]], x[node[sense]] = v, v_bit
    held[node[drive]] = held[node[sense]] = True
    free = ~held
    if free.any():
        x[free] = linalg.spsolve(laplacian[free][:, free], -laplacian[free][:, held] @ x[held])
    words, bits = x[node[word]], x[node[bit]]
    cells = g * (words - bits)
    return Truth(cells.sum(0), words, bits, cells.sum(1))


def apart(found, truth):
    """Return the largest error relative to the largest value."""
    return np.abs(np.asarray(found, float) - truth).max() / np.abs(truth).max()
