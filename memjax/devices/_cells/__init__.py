"""Cells: a device with what an array puts in series with it.  Like wrappers they take and return a Device."""

from memjax.devices._cells.one_selector import one_selector
from memjax.devices._cells.one_transistor import one_transistor

__all__ = ["one_selector", "one_transistor"]
