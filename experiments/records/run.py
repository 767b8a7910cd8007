"""Train the networks of the records on sampled chips, batch size 1, and write their tables.

    python experiments/records/run.py mnist                    # all rows of a data set: chips, results.json, figures
    python experiments/records/run.py cifar10 --held-out       # on a held-out tenth of the training set: for choices
    python experiments/records/run.py chip mnist hard 3        # one chip
    python experiments/records/run.py collect mnist            # results.json and figures of the chips that are there
    python experiments/records/run.py mnist --held-out --set theta=1 --work runs/trial    # another recipe

Chips are kept in the work folder (runs/records); those that are there are not run again. `--data-dir` or MEMJAX_DATA
name the folder of the data sets.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
STUDIES = ("mnist", "fashion_mnist", "cifar10")
SEEDS = 5
KINDS = ("ideal", "normal", "hard")


def _read(name: str) -> dict:
    import yaml

    return yaml.safe_load((HERE / name / "recipe.yaml").read_text(encoding="utf-8"))


def own_settings(name: str) -> dict[str, dict]:
    """Read what a data set's recipe.yaml sets otherwise for a kind of device."""
    given = _read(name)
    return {kind: given[kind] for kind in KINDS if kind in given}


def load_recipe(name: str, changes: Sequence[str] = (), kind: str = "normal"):
    """Read a data set's recipe.yaml for a kind of device; changes as "theta=1", values in YAML."""
    import frame
    import yaml

    given = _read(name)
    own = {other: given.pop(other, {}) for other in KINDS}
    given |= own[kind]
    known = [field.name for field in dataclasses.fields(frame.Recipe)]
    for change in changes:
        key, sign, value = change.partition("=")
        if key not in known or not sign:
            sys.exit(f"--set {change}: accepted is KEY=VALUE with KEY one of {', '.join(known)}")
        given[key] = yaml.safe_load(value)
    return frame.Recipe(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})


def load_data(recipe, wanted):
    """Load the data set, or its training part with a tenth held out as the test set."""
    import jax

    from memjax import datasets

    data = datasets.load(recipe.dataset, wanted.data_dir, n_train=wanted.images, n_test=wanted.images)
    return datasets.split(data, 0.1, key=jax.random.key(0)) if wanted.held_out else data


def one_chip(name: str, kind: str, seed: int, wanted) -> None:
    """Run one chip and write its row into the work folder."""
    # A chip a core: free to use two, XLA hands the small kernels of a step back and forth between them.
    if wanted.core is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[wanted.core % len(cores)]})
    import figures
    import frame

    from memjax import files

    clock = time.perf_counter()

    def tell(text):
        print(f"{name} {kind} {seed}: {text} ({time.perf_counter() - clock:.0f} s)", flush=True)

    recipe = load_recipe(name, wanted.set, kind)
    row, filters = frame.chip(recipe, kind, seed, load_data(recipe, wanted), tell)
    row["recipe"] = vars(recipe)
    row["seconds"] = time.perf_counter() - clock
    tell(f"{100 * row['accuracy']:.2f} %")
    path = _path(name, kind, seed, wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path.with_suffix(".npy"), filters[..., : figures.SHOWN])
    files.write_json(path, row)


def all_chips(name: str, wanted) -> None:
    """Run the chips that are missing, `--workers` at a time, each in a process of its own."""
    wished = [(kind, seed) for kind in wanted.kinds for seed in range(_seeds(kind, wanted))]
    missing = [(kind, seed) for kind, seed in wished if not _path(name, kind, seed, wanted).exists()]
    _rows(name, wanted)  # refuses chips of another recipe now, and not when all are done
    running: dict[int, subprocess.Popen] = {}  # by the worker's number
    try:
        for kind, seed in missing:
            while len(running) >= wanted.workers:
                running = {n: process for n, process in running.items() if _alive(process)}
                time.sleep(0.2)
            worker = min(set(range(wanted.workers)) - set(running))
            more = ["--work", str(wanted.work), "--core", str(worker)] + ["--held-out"] * wanted.held_out
            for option, value in (("--data-dir", wanted.data_dir), ("--images", wanted.images)):
                more += [] if value is None else [option, str(value)]
            more += [text for change in wanted.set for text in ("--set", change)]
            command = [sys.executable, str(HERE / "run.py"), "chip", name, kind, str(seed), *more]
            running[worker] = subprocess.Popen(command)
        while running:
            running = {n: process for n, process in running.items() if _alive(process)}
            time.sleep(0.2)
    finally:
        for process in running.values():
            process.terminate()


def _alive(process: subprocess.Popen) -> bool:
    code = process.poll()
    if code:
        sys.exit(f"a chip ended with {code}")
    return code is None


def _seeds(kind: str, wanted) -> int:
    return wanted.ideal_seeds if kind == "ideal" else wanted.seeds


def _path(name: str, kind: str, seed: int, wanted) -> Path:
    what = "held_out" if wanted.held_out else "test"
    return Path(wanted.work) / name / what / f"{kind}_{seed}.json"


def _rows(name: str, wanted) -> list[dict]:
    """Return the rows of the chips that are there; ends the program where one is of another recipe."""
    recipes, rows = {kind: load_recipe(name, wanted.set, kind) for kind in KINDS}, []
    for path in sorted(_path(name, "ideal", 0, wanted).parent.glob("*_*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))
        ours = json.loads(json.dumps(vars(recipes[row["kind"]])))
        if (theirs := row.pop("recipe")) != ours:
            changed = ", ".join(sorted(key for key in ours if theirs.get(key) != ours[key]))
            sys.exit(f"{path} is of another recipe ({changed}): give another folder with --work")
        rows.append(row)
    return rows


def summary(rows: list[dict]) -> dict:
    """Return the line of a table: mean and sd over the chips of a kind, joules and pulses a sample."""
    right = np.array([row["accuracy"] for row in rows])
    sd = right.std(ddof=1) if len(rows) > 1 else None
    line: dict = {"chips": len(rows), "accuracy": {"mean": right.mean(), "sd": sd, "each": right.tolist()}}
    if "joules" in rows[0]:
        for what in ("inference", "training"):
            parts = [part for row in rows for part in row["joules"][what].values()]
            line[f"joules_{what}"] = {
                bound: sum(part[bound] for part in parts) / len(rows) for bound in ("e_min", "e_max", "cmos")
            }
        line["pulses_per_sample"] = {
            part: float(np.mean([row["pulses_per_sample"][part] for row in rows]))
            for part in rows[0]["pulses_per_sample"]
        }
    return line


def collect(name: str, wanted) -> dict:
    """Put the rows of a data set's chips into results.json, and draw its figures."""
    import figures
    import jax

    from memjax import files

    folder, rows = _path(name, "ideal", 0, wanted).parent, _rows(name, wanted)
    if not rows:
        sys.exit(f"{folder} has no chips yet")
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    table = {kind: summary([row for row in rows if row["kind"] == kind]) for kind in kinds}
    results = {
        "data_set": name,
        "evaluated_on": "held-out tenth of the training set" if wanted.held_out else "test set",
        "recipe": vars(load_recipe(name, wanted.set)),
        "own": own_settings(name),  # of a kind of device, in place of the recipe's
        "table": table,
        "chips": rows,
        "made_with": {"jax": jax.__version__, "python": platform.python_version(), "machine": platform.machine()},
    }
    out = Path(wanted.out or HERE / name)
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(out / ("held_out.json" if wanted.held_out else "results.json"), results)
    kept = {kind: folder / f"{kind}_0.npy" for kind in table}
    figures.draw(results, out, {kind: np.load(path) for kind, path in kept.items() if path.exists()})
    print(markdown(results))
    return results


def markdown(results: dict) -> str:
    """Return the table of a data set's README."""
    lines = [
        f"{results['data_set']}, {results['evaluated_on']}:",
        "",
        "| devices | chips | accuracy | inference: E_min, E_max; CMOS (µJ) | training sample: E_min, E_max; CMOS (µJ) "
        "| readout's pulses a sample; in the last epoch |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind, line in results["table"].items():
        right, sd = 100 * line["accuracy"]["mean"], line["accuracy"]["sd"]
        cells = [kind, str(line["chips"]), f"{right:.2f} %" + ("" if sd is None else f" (sd {100 * sd:.2f})")]
        for what in ("inference", "training"):
            joules = line.get(f"joules_{what}")
            micro = {} if joules is None else {bound: 1e6 * value for bound, value in joules.items()}
            cells.append("{e_min:.3f}, {e_max:.3f}; {cmos:.2f}".format(**micro) if micro else "")
        pulses = line.get("pulses_per_sample")
        cells.append("" if pulses is None else f"{pulses['readout']:.1f}; {pulses['readout, last epoch']:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", help="a data set; or chip DATASET KIND SEED; or collect DATASET")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=SEEDS, help="chips of every kind of device")
    parser.add_argument("--ideal-seeds", type=int, default=3, help="seeds of the ideal weights")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="chips at a time")
    parser.add_argument("--core", type=int, help="of one chip: keep to this core")
    parser.add_argument("--held-out", action="store_true", help="test on a held-out tenth of the training set")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change the recipe; repeatable")
    parser.add_argument("--images", type=int, help="use so many training and test images alone")
    parser.add_argument("--work", default="runs/records")
    parser.add_argument("--out", help="folder of results.json and the figures (the data set's own)")
    parser.add_argument("--data-dir")
    wanted = parser.parse_args()
    if wanted.what[0] == "chip":
        _, name, kind, seed = wanted.what
        one_chip(name, kind, int(seed), wanted)
    elif wanted.what[0] == "collect":
        collect(wanted.what[1], wanted)
    else:
        for name in wanted.what:
            all_chips(name, wanted)
            collect(name, wanted)


if __name__ == "__main__":
    main()
