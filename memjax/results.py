"""Results as xarray data sets with units, in netCDF files that any tool reads."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memjax.files import atomic_path

LARGEST = 20_000_000  # bytes of conductances that a training run's file holds


def write(path: str | os.PathLike, dataset: Any) -> None:
    """Write a Dataset as netCDF-4, compressed; the file appears whole or not at all."""
    packed = {name: {"zlib": True, "complevel": 4} for name, array in dataset.data_vars.items() if array.size > 1000}
    with atomic_path(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf", encoding=packed)


def training(
    *,
    accuracy: np.ndarray,
    samples: Sequence[int],
    online: np.ndarray,
    chunk_ends: Sequence[int],
    conductances: Mapping[str, np.ndarray],
    events: Mapping[str, Mapping[str, int]],
    attrs: Mapping[str, str],
) -> Any:
    """Gather a training run -> Dataset.

    accuracy [chips, points] after `samples` [points]; online [chips, chunks], share of correct answers before learning,
    of the chunks that end at chunk_ends; conductances {array: [chips, polarity, rows, cols]} in S, of as many chips as
    LARGEST allows, at least the first; events {inference, training} x {class: count}.
    """
    import xarray as xr

    chips = len(accuracy)
    classes = list(next(iter(events.values())))
    size = sum(array[0].nbytes for array in conductances.values())
    kept = max(1, min(chips, LARGEST // size))
    shown = {"units": "1", "long_name": "share of evaluation samples classified correctly"}
    variables: dict[str, Any] = {
        "accuracy": (("chip", "sample"), accuracy, shown),
        "test_accuracy": (("chip",), accuracy[:, -1], shown | {"long_name": "the same, after all samples"}),
        "online_accuracy": (
            ("chip", "chunk_end"), online, {"units": "1", "long_name": "share correct before learning, by chunk"}
        ),
        "events": (
            ("phase", "event"),
            np.array([[count[name] for name in classes] for count in events.values()], np.int64),
            {"units": "1", "long_name": "events of all chips and samples"},
        ),
    }  # fmt: skip
    for name, array in conductances.items():
        dims = ("stored_chip", "polarity", f"{name}_row", f"{name}_column")
        described = {"units": "S", "long_name": f"conductance of the {name} array after learning"}
        variables[f"conductance_{name}"] = (dims, array[:kept], described)
    coords = {
        "chip": np.arange(chips),
        "stored_chip": np.arange(kept),
        "sample": ("sample", np.asarray(samples), {"units": "1", "long_name": "training samples seen by a chip"}),
        "chunk_end": (
            "chunk_end",
            np.asarray(chunk_ends),
            {"units": "1", "long_name": "training samples seen by a chip"},
        ),
        "polarity": ["g+", "g-"][: next(iter(conductances.values())).shape[1]],
        "phase": list(events),
        "event": classes,
    }
    return xr.Dataset(variables, coords, {"title": "memjax training run", **attrs})


def device(
    t: np.ndarray,
    voltage: np.ndarray,
    current: np.ndarray,
    conductance: np.ndarray,
    state: Mapping[str, Any],
    *,
    attrs: Mapping[str, str],
) -> Any:
    """Gather one device under a waveform -> Dataset: all [T], in s, V, A and S; states are those after a step."""
    import xarray as xr

    variables: dict[str, Any] = {
        "voltage": ("time", voltage, {"units": "V"}),
        "current": ("time", current, {"units": "A", "long_name": "at the voltage of the step and the state before it"}),
        "conductance": ("time", conductance, {"units": "S", "long_name": "after the step, at 0.1 V"}),
    }
    variables |= {f"state_{name}": ("time", np.asarray(leaf)) for name, leaf in state.items()}
    return xr.Dataset(variables, {"time": ("time", t, {"units": "s"})}, {"title": "memjax device", **attrs})


def synapses(dt: float, voltage: np.ndarray, current: np.ndarray, w: np.ndarray, phi: np.ndarray, r: np.ndarray) -> Any:
    """Gather a run of the visual network -> Dataset: voltage, current [T, N, N]; w, phi, r [T + 1, N, N]."""
    import xarray as xr

    after, during = ("time", "source", "target"), ("step", "source", "target")
    variables = {
        "resistance": (after, r, {"units": "ohm"}),
        "w": (after, w, {"units": "1", "long_name": "state"}),
        "flux": (after, phi, {"units": "V s"}),
        "voltage": (during, voltage, {"units": "V", "long_name": "applied during the step"}),
        "current": (during, current, {"units": "A", "long_name": "at the voltage of the step and the state before it"}),
    }
    coords = {
        "time": ("time", dt * np.arange(len(r)), {"units": "s"}),
        "step": np.arange(1, len(r)),
        "source": np.arange(1, r.shape[1] + 1),
        "target": np.arange(1, r.shape[1] + 1),
    }
    return xr.Dataset(variables, coords, {"title": "memjax visual network"})
