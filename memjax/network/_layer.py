"""A layer: one array and its programmer, taken apart into NNX variables by their role."""

from dataclasses import replace
from typing import Any

import jax
from flax import nnx
from jax import Array

from memjax import crossbar, noise, programming, variation
from memjax.crossbar import Crossbar
from memjax.energy import Events
from memjax.network._arrays import warmed
from memjax.network._described import Physics


class Weight(nnx.Param):
    """What learning programs: the state of the devices."""


class Sampled(nnx.Variable):
    """What makes a chip that chip: sampled device parameters, faults, switched tiles, and physical constants."""


class Volatile(nnx.Variable):
    """What fades: the accumulators of the programmer."""


class Cached(nnx.Variable):
    """What follows from the others: the arrays' net conductances and their wires' losses, kept for speed."""


class Layer(nnx.Module):
    """A crossbar and its programmer, taken apart into NNX variables by their role."""

    def __init__(self, xbar: Crossbar, programmer: programming.Programmer, settings: Any):
        self.weight = Weight(xbar.state)
        self.sampled = Sampled(
            {
                "params": xbar.params,
                "faults": xbar.faults,
                "active": xbar.active,
                "span": xbar.span,
                "programmer": settings,
            }
        )
        self.volatile = Volatile(programmer.init(settings, xbar))
        self.cached = Cached({"net": xbar.net, "losses": xbar.losses})
        self.like = nnx.static(
            replace(
                xbar,
                params=None,
                state=None,
                faults=None,
                active=None,
                net=None,
                v_read=None,
                v_write=None,
                wires=None,
                losses=None,
                half_select=None,
                span=None,
            )
        )

    def array(self, physics: Physics) -> Crossbar:
        """Put the crossbar together again."""
        sampled, cached = self.sampled.get_value(), self.cached.get_value()
        return replace(
            self.like,
            params=sampled["params"],
            faults=sampled["faults"],
            active=sampled["active"],
            state=self.weight.get_value(),
            net=cached["net"],
            losses=cached["losses"],
            v_read=physics.v_read,
            v_write=physics.v_write,
            wires=physics.wires,
            half_select=physics.half_select,
            span=sampled["span"],
        )

    def keep(self, xbar: Crossbar) -> None:
        """Keep what an array has worked out."""
        self.cached.set_value({"net": xbar.net, "losses": xbar.losses})

    def settle(self, physics: Physics, refresh: int, turn: Array) -> None:
        """Solve the array's wires anew where it is time to, and keep what they leave of its reads and writes."""
        xbar = self.array(physics)

        def solved(xbar):
            xbar = crossbar.cache(crossbar.keep_losses(xbar))
            return xbar.net, xbar.losses

        net, losses = jax.lax.cond(turn % refresh == 0, solved, lambda xbar: (xbar.net, xbar.losses), xbar)
        self.keep(replace(xbar, net=net, losses=losses))

    def age(self, physics: Physics, dt: Any, key: Array | None, when: Any = True) -> None:
        """Let the array rest for dt [s] where it is time to, at the temperature that its reads bring it to.

        A programmer's own arrays (Tiki-Taka's) rest beside it, as warm.
        """
        warms = physics.heat is not None

        def kept(arrays):  # what resting may change, and no more: a branch not taken copies what it returns
            return [(variation.field_of(x.params, "temperature") if warms else None, x.state, x.net) for x in arrays]

        def aged(arrays):
            keys = [key, *(key if key is None else noise.fold_in(key, f"beside {i}") for i in range(1, len(arrays)))]
            warm = [warmed(x, physics.heat, dt) if warms else x for x in arrays]
            return kept([crossbar.relax(x, dt, key=own) for x, own in zip(warm, keys, strict=True)])

        pending, structure = jax.tree.flatten(self.volatile.get_value(), is_leaf=_is_array)
        beside = [i for i, leaf in enumerate(pending) if _is_array(leaf)]
        arrays = [self.array(physics), *(pending[i] for i in beside)]
        moved = aged(arrays) if when is True else jax.lax.cond(when, aged, kept, arrays)
        params = [
            variation.with_field(x.params, "temperature", kelvin) if warms else x.params
            for x, (kelvin, _, _) in zip(arrays, moved, strict=True)
        ]
        if warms:
            self.sampled.set_value({**self.sampled.get_value(), "params": params[0]})
        self.weight.set_value(moved[0][1])
        self.keep(replace(arrays[0], net=moved[0][2]))
        if beside:
            for i, x, own, (_, state, net) in zip(beside, arrays[1:], params[1:], moved[1:], strict=True):
                pending[i] = replace(x, params=own, state=state, net=net)
            self.volatile.set_value(jax.tree.unflatten(structure, pending))

    def program(self, programmer: programming.Programmer, dw: Any, physics: Physics, key: Array, turn: Array) -> Events:
        """Let the programmer act on the devices."""
        settings = self.sampled.get_value()["programmer"]
        array = self.array(physics)
        xbar, state, events = programmer.step(
            settings, self.volatile.get_value(), dw, array, physics.write_time, key, turn
        )
        self.weight.set_value(xbar.state)
        self.keep(xbar)
        self.volatile.set_value(state)
        return events


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, Crossbar)
