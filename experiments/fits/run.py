"""Fits to measured devices, part by part: what is done stays done, and parts may run side by side.

python experiments/fits/run.py --data FOLDER          # what is not done yet, then results.json and the README's tables
python experiments/fits/run.py --data FOLDER --only 'pairs/*/vteam' --parts HERE         # these parts alone
python experiments/fits/run.py --merge --parts HERE   # results.json and the README's tables out of what is done
python experiments/fits/run.py --check                # is the README what results.json says?
"""

import argparse
import fnmatch
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def studies(data: Path, starts: int, out: Path) -> dict:
    import calibration
    import knowm
    import pulsed

    return calibration.parts() | knowm.parts(data / "knowm-sdc-iv", starts) | pulsed.parts(data, out)


def merge(folder: Path, out: Path) -> None:
    """Put the parts together as results.json, and their tables into the README."""
    import knowm
    import tables

    found = json.loads((out / "results.json").read_text()) if (out / "results.json").exists() else {}
    for file in sorted(folder.glob("*.json")):
        part = json.loads(file.read_text())
        here = found
        *path, last = part["part"].split("/")
        for name in path:
            here = here.setdefault(name, {})
        here[last] = part["result"]
        found.setdefault("seconds", {})[part["part"]] = part["cpu_seconds"]
    found["chosen"] = {name: knowm.chosen(rows) for name, rows in found.get("pairs", {}).items()}
    text = json.dumps(found, indent=1) + "\n"
    (out / "results.json").write_text(text)
    tables.write(out / "README.md", json.loads(text))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder that holds knowm-sdc-iv/ and the others")
    parser.add_argument("--only", nargs="*", default=["*"], help="parts, as shell patterns")
    parser.add_argument("--parts", type=Path, default=Path("runs") / "fits", help="folder of what is done")
    parser.add_argument("--starts", type=int, default=64)
    parser.add_argument("--list", action="store_true", help="name the parts")
    parser.add_argument("--merge", action="store_true", help="of what is done: results.json and the tables")
    parser.add_argument("--check", action="store_true", help="hold the README against results.json")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of results.json, README.md and the figure")
    given = parser.parse_args()
    if given.check:
        import tables

        return tables.check(given.out / "README.md", json.loads((given.out / "results.json").read_text()))
    if given.merge:
        return merge(given.parts, given.out)
    todo = studies(given.data or Path(), given.starts, given.out)
    todo = {name: run for name, run in todo.items() if any(fnmatch.fnmatch(name, p) for p in given.only)}
    if given.list:
        return print("\n".join(todo))
    if given.data is None and any(not name.startswith("calibration") for name in todo):
        parser.error("give --data")
    from memjax import files

    given.parts.mkdir(parents=True, exist_ok=True)
    for name, run in todo.items():
        file = given.parts / f"{name.replace('/', '.')}.json"
        if file.exists():
            continue
        begun = time.process_time()
        part = {"part": name, "result": run(), "cpu_seconds": round(time.process_time() - begun)}
        files.write_json(file, part)
    if given.only == ["*"]:
        merge(given.parts, given.out)


if __name__ == "__main__":
    main()
