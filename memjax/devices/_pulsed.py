"""What the models that are programmed by pulses share: a normalised state, read as an ohmic conductance."""

from flax import struct

from memjax.devices.base import Leaf, fill, require


@struct.dataclass
class Params:
    g_min: Leaf = 1e-6  # S
    g_max: Leaf = 1e-4  # S
    step_up: Leaf = 1 / 64  # fraction of the range, at mid-range
    step_down: Leaf = 1 / 64  # fraction of the range, at mid-range
    v_write: Leaf = 1.0  # V


@struct.dataclass
class State:
    x: Leaf  # 1, in [0, 1]


def init(params, x):
    return State(x=fill(params, x))


def current(params, state, v):
    return (params.g_min + (params.g_max - params.g_min) * state.x) * v


def bounds(params):
    return State(x=0.0), State(x=1.0)


def check(params):
    require(params, "g_min", lambda p: p.g_min >= 0, "0 S or more")
    require(params, "g_max", lambda p: p.g_max > p.g_min, "more than g_min")
    require(params, "step_up", lambda p: p.step_up >= 0, "0 or more, a fraction of the range")
    require(params, "step_down", lambda p: p.step_down >= 0, "0 or more, a fraction of the range")
    require(params, "v_write", lambda p: p.v_write > 0, "more than 0 V")
