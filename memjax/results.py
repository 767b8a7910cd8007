"""Results as xarray data sets with units, in netCDF files that any tool reads."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memjax.errors import UserError
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


def study(
    values: Mapping[str, np.ndarray],
    drawn: Mapping[str, np.ndarray],
    failed: np.ndarray,
    units: Mapping[str, tuple[str, str]],
    *,
    attrs: Mapping[str, str],
) -> Any:
    """Gather a Monte Carlo study -> Dataset: values [chips, ...], severities drawn [chips] as coordinates, failures.

    units: {name: (unit, meaning)}.
    """
    import xarray as xr

    variables: dict[str, Any] = {
        name: (
            ("chip", *(f"{name}_{axis}" for axis in range(1, array.ndim))),
            array,
            {"units": units[name][0], "long_name": units[name][1]},
        )
        for name, array in values.items()
    }
    variables["failed"] = ("chip", failed, {"long_name": "values that are not all finite"})
    coords: dict[str, Any] = {"chip": np.arange(len(failed))}
    for name, array in drawn.items():
        coords[f"severity_{name}"] = (
            "chip",
            array,
            {"units": "1", "long_name": f"{name}, 1 as the config describes it"},
        )
    return xr.Dataset(variables, coords, {"title": "memjax Monte Carlo study", **attrs})


def ablation(
    values: Mapping[str, Mapping[str, np.ndarray]],
    labels: Sequence[str],
    severities: Mapping[str, Any],
    units: Mapping[str, tuple[str, str]],
    *,
    attrs: Mapping[str, str],
) -> Any:
    """Gather the same chips with several remedies in several settings -> Dataset of values [remedy, setting, chip].

    values: {remedy: {name: [settings, chips]}}; severities [settings]; units: {name: (unit, meaning)}. A coordinate
    `severity_<non-ideality>` says what a setting is.
    """
    import xarray as xr

    dims = ("remedy", "setting", "chip")
    stacked = {name: np.stack([own[name] for own in values.values()]) for name in next(iter(values.values()))}
    variables = {
        name: (dims, array, {"units": units[name][0], "long_name": units[name][1]}) for name, array in stacked.items()
    }
    bad = ~np.all([np.isfinite(array) for array in stacked.values()], axis=0)
    variables["failed"] = (dims, bad, {"long_name": "values that are not all finite"})
    coords: dict[str, Any] = {"remedy": list(values), "setting": list(labels), "chip": np.arange(bad.shape[2])}
    for name, array in severities.items():
        told = {"units": "1", "long_name": f"{name}, 1 as the config describes it, 0 switched off"}
        coords[f"severity_{name}"] = ("setting", np.asarray(array), told)
    return xr.Dataset(variables, coords, {"title": "memjax ablation", **attrs})


def read_conductances(path: Path, chip: int = 0) -> dict[str, np.ndarray]:
    """Read the conductances of a training run's chip -> {array: [polarity, rows, cols]} [S].

    Raises UserError for a file that cannot be read or is of no training run.
    """
    import xarray as xr

    try:
        with xr.open_dataset(path, engine="h5netcdf") as found:
            return {
                str(name).removeprefix("conductance_"): np.asarray(found[name][chip])
                for name in found.data_vars
                if str(name).startswith("conductance_")
            }
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"cannot read {path}: {error}; accepted is results.nc of a `memjax train` run") from error


CHIP_NAMES = ("chip", "failed")  # of variables that every file of chips has


def chips(values: Mapping[str, np.ndarray], failed: np.ndarray, first: int) -> bytes:
    """Return the content of a netCDF file of the values [chips, ...] of the chips from `first` on."""
    import io

    import h5netcdf

    content = io.BytesIO()
    with h5netcdf.File(content, "w") as file:
        number = np.arange(first, first + len(failed))
        for name, array in {"chip": number, "failed": failed, **values}.items():
            _variable(file, name, array.dtype, array.shape)[...] = _stored(array)
    return content.getvalue()


def read_chips(
    parts: Sequence[tuple[int, int, Path]], like: Mapping[str, tuple[np.dtype, tuple[int, ...]]], n: int
) -> list[np.ndarray]:
    """Read the values of chips 0 .. n - 1 from files of chips first .. stop - 1 -> arrays [n, ...], in `like`'s order.

    Raises UserError for a file that cannot be read or holds something else.
    """
    made = {name: np.empty((n, *shape), dtype) for name, (dtype, shape) in like.items()}
    _copy(parts, made)
    return list(made.values())


def join_chips(
    path: Path, parts: Sequence[tuple[int, int, Path]], like: Mapping[str, tuple[np.dtype, tuple[int, ...]]], n: int
) -> None:
    """Write the values of many files into one, without holding them in memory.

    Raises UserError as `read_chips` does, and OSError where the disk is full.
    """
    import h5netcdf

    with atomic_path(path) as temporary, h5netcdf.File(temporary, "w") as file:
        made = {name: _variable(file, name, dtype, (n, *shape)) for name, (dtype, shape) in like.items()}
        _copy(parts, made)


def map_chips(path: Path, like: Mapping[str, tuple[np.dtype, tuple[int, ...]]]) -> list[np.ndarray]:
    """Map the arrays of a joined file into memory, without reading them."""
    import h5py

    with h5py.File(path) as file:
        places = {name: (file[name].id.get_offset(), file[name].shape) for name in like}  # pyright: ignore
    return [
        np.memmap(path, dtype, "r", offset, shape)
        for (offset, shape), (dtype, _) in zip(places.values(), like.values(), strict=True)
    ]


def _copy(parts: Sequence[tuple[int, int, Path]], into: Mapping[str, Any]) -> None:
    import h5netcdf

    for first, stop, path in parts:
        try:
            with h5netcdf.File(path) as file:
                for name, target in into.items():
                    target[first:stop] = file.variables[name][: stop - first]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"cannot read {path}: {error}. Delete it, then resume, to have its chips worked out again"
            ) from error


def _variable(file: Any, name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Make a variable [chip, ...]; netCDF has no bool, and xarray knows one by this attribute."""
    dims = ("chip", *(f"{name}_{axis}" for axis in range(1, len(shape))))
    for dim, size in zip(dims, shape, strict=True):
        if dim not in file.dimensions:
            file.dimensions[dim] = size
    truth = np.dtype(dtype) == bool
    variable = file.create_variable(name, dims, "i1" if truth else dtype)
    if truth:
        variable.attrs["dtype"] = "bool"
    return variable


def _stored(array: np.ndarray) -> np.ndarray:
    return array.astype("i1") if array.dtype == bool else array
