"""Run a netlist through ngspice and read its raw file."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from memjax.errors import UserError


class NgspiceMissing(UserError):
    """ngspice is not installed."""


class NgspiceError(UserError):
    """ngspice refused the netlist, did not converge, or took too long; the message ends with what it printed."""


def run_ngspice(netlist: str, *, timeout: float = 60.0) -> dict[str, np.ndarray]:
    """Run a netlist with `ngspice -b` in a folder of its own and return its vectors by name, in lower case.

    A transient gives "time" [T] in s and a vector [T] for each saved quantity ("v(node)" in V, "i(source)" in A); an
    operating point gives vectors of length 1. timeout in s.

    Raises NgspiceMissing where there is no ngspice, and NgspiceError where it fails or exceeds the timeout.
    """
    program = shutil.which("ngspice")
    if program is None:
        raise NgspiceMissing(
            "ngspice is not installed: it is the Debian and Ubuntu package ngspice (apt install ngspice)"
        )
    with tempfile.TemporaryDirectory(prefix="memjax-spice-") as folder:
        deck, raw = Path(folder, "deck.cir"), Path(folder, "out.raw")
        deck.write_text(netlist, encoding="utf-8")
        # -n: the user's own settings file would change tolerances or the format of the output.
        command = [program, "-n", "-b", "-r", raw.name, deck.name]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", timeout=timeout
            )
        except subprocess.TimeoutExpired:
            raise NgspiceError(f"ngspice did not finish in {timeout:g} s") from None
        said = (done.stdout + done.stderr).strip()
        aborted = next((line for line in said.splitlines() if "aborted" in line or "too small" in line), None)
        if done.returncode or aborted or not raw.exists():
            raise NgspiceError(f"ngspice failed (exit code {done.returncode}); it said:\n{_tail(said)}")
        return parse_raw(raw.read_bytes())


def parse_raw(content: bytes) -> dict[str, np.ndarray]:
    """Read the first plot of a raw file of real numbers, binary or ASCII; raise NgspiceError where it is neither."""
    for marker in (b"\nBinary:\n", b"\nValues:\n"):
        head, found, body = content.partition(marker)
        if found:
            break
    else:
        raise NgspiceError(f"no ngspice raw file: it starts with {content[:60]!r}")
    lines = head.decode("utf-8", "replace").splitlines()
    fields = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "real" not in fields.get("flags", "").lower():
        raise NgspiceError(f"raw file with flags {fields.get('flags')!r}: accepted is 'real'")
    variables, points = int(fields["no. variables"]), int(fields["no. points"])
    first = next(n for n, line in enumerate(lines) if line.startswith("Variables:")) + 1
    names = [line.split()[1].lower() for line in lines[first : first + variables]]
    if marker == b"\nBinary:\n":
        table = np.frombuffer(body, "<f8", variables * points).reshape(points, variables)
    else:  # each point is its number, followed by one value a line
        table = np.array(body.split(), float).reshape(points, variables + 1)[:, 1:]
    return {name: table[:, n].copy() for n, name in enumerate(names)}


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.splitlines()[-lines:])
