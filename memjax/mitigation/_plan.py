"""What the plans of arrays with further lines have in common: the array has to be one of theirs."""

from typing import Protocol

from memjax.crossbar import Crossbar


class Plan(Protocol):
    """Sizes of an array that is built with more lines than it has weights for."""

    @property
    def physical_shape(self) -> tuple[int, int]: ...

    @property
    def physical_tile(self) -> tuple[int, int]: ...


def check_built(plan: Plan, xbar: Crossbar, remedy: str, lines: str) -> None:
    """Raise ValueError for an array of another size than the plan's, with its further `lines`, or one with wires."""
    if (xbar.shape, xbar.tile) != (plan.physical_shape, plan.physical_tile):
        raise ValueError(
            f"mitigation: an array of {xbar.shape} in tiles of {xbar.tile}: accepted is {plan.physical_shape} in tiles "
            f"of {plan.physical_tile}, with the {lines} of {plan}"
        )
    if xbar.wires is not None:
        raise ValueError(f"mitigation: {remedy} of an array with wires: accepted is one without, `wires=None`")
