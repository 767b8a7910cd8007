"""A layer: one array and its programmer, taken apart into NNX variables by their role."""

from dataclasses import replace
from typing import Any

import jax
from flax import nnx
from jax import Array

from memjax import crossbar, programming, variation
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
        """Let the array rest for dt [s] where it is time to, at the temperature that its reads bring it to."""

        warms = physics.heat is not None

        def kept(xbar):  # what resting may change, and no more: a branch not taken copies what it returns
            return variation.field_of(xbar.params, "temperature") if warms else None, xbar.state, xbar.net

        def aged(xbar):
            return kept(crossbar.relax(warmed(xbar, physics.heat, dt) if warms else xbar, dt, key=key))

        xbar = self.array(physics)
        kelvin, state, net = aged(xbar) if when is True else jax.lax.cond(when, aged, kept, xbar)
        if warms:
            sampled = self.sampled.get_value()
            params = variation.with_field(xbar.params, "temperature", kelvin)
            self.sampled.set_value({**sampled, "params": params})
        self.weight.set_value(state)
        self.keep(replace(xbar, net=net))

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
