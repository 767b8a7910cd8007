"""The import direction and the other rules that can be read off the source, enforced over every file of the package."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "memjax"

# --- the rules, as tables -----------------------------------------------------------------------------------------

# Standard library only; anything may import them.
LEAVES = {"errors", "files", "_registry"}

# Rows of the import direction, lowest first: module -> the memjax modules that it may import.
NOISE = {"noise": {"_registry"}}
FUSION = {"_fusion": set()}  # beside noise: JAX only, for what is worked out in hot loops
MODELS = {name: {"noise"} for name in ("devices", "neurons", "encoding", "energy")}
MODELS["plasticity"] = {"noise", "neurons"}  # a rule may use a neuron's surrogate derivative
PARTS = {name: {*NOISE, *MODELS} for name in ("pairing", "periphery", "wires", "variation", "thermal")}
PARTS["spiking"] = {*FUSION, *PARTS["pairing"]}
ARRAY = {"crossbar": {*NOISE, *FUSION, "devices", "periphery", "wires", "energy"}}
NETWORK_OF_DEVICES = {"visual_network": {"noise", "devices"}}
# plasticity: dw may come as Outer
PROGRAMMING = {"programming": {"crossbar", "plasticity", *FUSION, *ARRAY["crossbar"]}}
PHYSICS = {**NOISE, **FUSION, **MODELS, **PARTS, **ARRAY, **NETWORK_OF_DEVICES, **PROGRAMMING}
DRIVERS = dict.fromkeys(
    ("mitigation", "designs", "statistics", "network", "patches", "learning", "readout", "prony"), set(PHYSICS)
)
for _name in DRIVERS:  # a row may also use itself; test_no_cycles keeps that honest
    DRIVERS[_name] = DRIVERS[_name] | set(DRIVERS)
DRIVERS["prony"] = set()  # arithmetic on the host
OUTER = {
    name: {*PHYSICS, *DRIVERS, "datasets", "checkpoint", "config", "results", "plot", "spice"}
    for name in ("datasets", "checkpoint", "config", "results", "plot", "spice")
}
OUTER["presets"] = {"devices", "variation", "config", "noise"}  # config reads the files, for the home of YAML is there
OUTER["prices"] = {"energy", "config"}
# Many chips, and what they leave in files: of any function, so it knows no physics.
CHIPS = {"monte_carlo": {"results"}}
# What the command drives, without a terminal.
TRAINING = {name: {*PHYSICS, *DRIVERS, *OUTER, *CHIPS} for name in ("training", "fitting")}
TRAINING["studies"] = {*PHYSICS, *DRIVERS, *OUTER, *CHIPS, "training"}
TOP = {name: {*PHYSICS, *DRIVERS, *OUTER, *CHIPS, *TRAINING, "cli"} for name in ("cli", "__main__", "__init__")}
MAY_IMPORT = {**{name: set() for name in LEAVES}, **PHYSICS, **DRIVERS, **OUTER, **CHIPS, **TRAINING, **TOP}

# A base holds the protocol: it knows no model, or adding a model would mean editing it. Files named _x hold no model.
PROTOCOLS = {"devices.base", "plasticity.base"}

# What the physics may import from outside the standard library.
PHYSICS_LIBRARIES = {"jax", "flax.struct", "chex", "numpy"}  # numpy: host-side checks and static shapes
PHYSICS_LIBRARIES |= {"diffrax", "optimistix"}  # an extra, imported where it is used, with one home below
NOISE_LIBRARIES = {"jax"}

# Each of these lives in one module.
HOMES = {
    "flax.nnx": "network",
    "diffrax": "devices",
    "orbax": "checkpoint",
    "pydantic": "config",
    "yaml": "config",
    "xarray": "results",
    "h5netcdf": "results",
    "h5py": "results",
    "pooch": "datasets",
    "matplotlib": "plot",
    "typer": "cli",
    "rich": "cli",
}

# Two modules use these.
SHARED_HOMES = {"optimistix": {"devices", "fitting"}, "optax": {"learning", "fitting"}}

# Imported or named anywhere in the package, these are violations.
BANNED = {
    "jax.config": "the user's settings are the user's",
    "jax._src": "private API",
    "numpy.random": "randomness comes from keys",
    "pickle": "files are never unpickled",
    "cloudpickle": "files are never unpickled",
    "dill": "files are never unpickled",
    "joblib": "files are never unpickled",
    "marshal": "files are never unpickled",
    "shelve": "files are never unpickled",
}
BANNED_IN_PHYSICS = {"jax.jit": "the caller owns jit", "jax.pmap": "the caller owns parallelism"}

# Called while a module is being imported, these make an array that outlives every setting of the user.
MAKES_ARRAYS = ("jax.numpy", "jax.random")
MAKES_NO_ARRAY = {"jax.numpy.vectorize"}


# --- the checker --------------------------------------------------------------------------------------------------


def under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + ".")


class Source:
    """What one file imports and names, as absolute dotted paths."""

    def __init__(self, module: str, text: str, *, is_package: bool = False):
        self.module = module  # path below memjax: "devices.volatile", "crossbar", "" for the package itself
        self.tree = ast.parse(text)
        package = ["memjax", *filter(None, module.split("."))]
        self.package = package if is_package else package[:-1]
        self.alias: dict[str, str] = {}
        self.imports: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for item in node.names:
                    self.imports.add(item.name)
                    self.alias[item.asname or item.name.split(".")[0]] = (
                        item.name if item.asname else item.name.split(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                for item in node.names:
                    self.imports.add(f"{origin}.{item.name}")
                    self.alias[item.asname or item.name] = f"{origin}.{item.name}"
        self.names = {path for node in ast.walk(self.tree) if (path := self.path(node))}
        for call in (node for node in ast.walk(self.tree) if isinstance(node, ast.Call)):
            dynamic = self.path(call.func) == "importlib.import_module" or getattr(call.func, "id", "") == "__import__"
            if dynamic and call.args and isinstance(call.args[0], ast.Constant):
                self.imports.add(str(call.args[0].value))

    @property
    def top(self) -> str:
        return self.module.split(".")[0] or "__init__"

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package[: len(self.package) - node.level + 1]
        return ".".join([*parts, node.module] if node.module else parts)

    def path(self, node: ast.AST) -> str | None:
        """Return the absolute path that a name or an attribute chain stands for, where an import introduced it."""
        if isinstance(node, ast.Name):
            return self.alias.get(node.id)
        if isinstance(node, ast.Attribute) and (inner := self.path(node.value)):
            return f"{inner}.{node.attr}"
        return None

    def inner_imports(self) -> set[str]:
        """Return the memjax modules imported, as paths below memjax ("devices.base", "crossbar")."""
        return {path.removeprefix("memjax.") for path in self.imports if path.startswith("memjax.")}

    def outer_imports(self) -> set[str]:
        """Return what is imported from neither memjax nor the standard library."""
        return {p for p in self.imports if p.split(".")[0] not in {*sys.stdlib_module_names, "memjax"}}

    def calls_at_import(self):
        """Yield the calls that run when the module is imported: everything except the bodies of functions."""

        def walk(node):
            if isinstance(node, ast.Lambda):
                nested = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                nested = [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
            else:
                nested = ast.iter_child_nodes(node)
            if isinstance(node, ast.Call):
                yield node
            for child in nested:
                yield from walk(child)

        yield from walk(self.tree)


def violations(source: Source) -> list[str]:
    """Return one sentence for every rule that a file breaks."""
    top, found = source.top, []
    if top not in MAY_IMPORT:
        return [f"memjax/{top} is in no row of the import table: put it where it belongs"]

    for path in sorted(source.inner_imports()):
        other = path.split(".")[0]
        if other not in {top, *LEAVES, *MAY_IMPORT[top]}:
            found.append(f"{source.module} imports memjax.{path}: {top} may import {sorted(MAY_IMPORT[top])}")
        if source.module in PROTOCOLS and other == top and not path.split(".")[1].startswith("_"):
            found.append(f"{source.module} imports memjax.{path}: a base knows no model")
    if "memjax" in source.imports:
        found.append(f"{source.module} imports memjax as a whole: import the module that is meant")
    if any(path.endswith(".*") for path in source.imports):
        found.append(f"{source.module} has a star import")

    for path in sorted(source.outer_imports()):
        if top in LEAVES | {"__init__"}:
            found.append(f"{source.module} imports {path}: it is standard library only")
        elif top in PHYSICS:
            accepted = NOISE_LIBRARIES if top in NOISE | FUSION else PHYSICS_LIBRARIES
            if not any(under(path, library) for library in accepted):
                found.append(f"{source.module} imports {path}: the physics may import {sorted(accepted)}")

    used = source.imports | source.names
    for library, home in HOMES.items():
        if top != home and any(under(path, library) for path in used):
            found.append(f"{source.module} uses {library}: it lives in memjax.{home} alone")
    for library, homes in SHARED_HOMES.items():
        if top not in homes and any(under(path, library) for path in used):
            found.append(f"{source.module} uses {library}: it lives in {sorted(homes)} alone")
    for path, reason in {**BANNED, **(BANNED_IN_PHYSICS if top in PHYSICS else {})}.items():
        if any(under(name, path) for name in used):
            found.append(f"{source.module} uses {path}: {reason}")

    for call in (node for node in ast.walk(source.tree) if isinstance(node, ast.Call)):
        for keyword in call.keywords:
            if keyword.arg == "allow_pickle" and getattr(keyword.value, "value", True) is not False:
                found.append(f"{source.module} passes allow_pickle: files are never unpickled")
    for call in source.calls_at_import():
        name = source.path(call.func)
        if name and name not in MAKES_NO_ARRAY and any(under(name, prefix) for prefix in MAKES_ARRAYS):
            found.append(f"{source.module} line {call.lineno} calls {name} at import: no module-level arrays")
    return found


def package_sources() -> list[Source]:
    sources = []
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        sources.append(Source(module, file.read_text(encoding="utf-8"), is_package=is_package))
    return sources


def cycles(edges: dict[str, set[str]]) -> list[str]:
    """Return the nodes that reach themselves."""

    def reachable(start):
        seen, todo = set(), list(edges.get(start, ()))
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo.extend(edges.get(node, ()))
        return seen

    return sorted(node for node in edges if node in reachable(node))


# --- the package --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", package_sources(), ids=lambda source: source.module or "__init__")
def test_rules_hold(source):
    assert violations(source) == []


def test_no_cycles():
    edges: dict[str, set[str]] = {}
    for source in package_sources():
        if source.module:  # the top level only re-exports
            edges.setdefault(source.top, set()).update(
                other for path in source.inner_imports() if (other := path.split(".")[0]) != source.top
            )
    assert cycles(edges) == []


# --- the checker itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "module, text, complaint",
    [
        # direction
        ("devices.volatile", "from memjax import crossbar", "imports memjax.crossbar"),
        ("devices.volatile", "from ..plasticity import stdp", "imports memjax.plasticity"),
        ("devices.volatile", "def f():\n    import memjax.energy", "imports memjax.energy"),
        ("devices.volatile", "import importlib\nimportlib.import_module('memjax.plot')", "imports memjax.plot"),
        ("devices.base", "from . import volatile", "a base knows no model"),
        ("plasticity.base", "from memjax.plasticity.stdp import RULE", "a base knows no model"),
        ("noise", "from memjax.devices import base", "imports memjax.devices"),
        ("variation", "from memjax.crossbar import Crossbar", "imports memjax.crossbar"),
        ("crossbar", "from memjax import variation", "imports memjax.variation"),
        ("crossbar", "from memjax.programming import Programmer", "imports memjax.programming"),
        ("crossbar", "from memjax import config", "imports memjax.config"),
        ("programming", "from memjax.plot import loop", "imports memjax.plot"),
        ("learning", "from memjax.checkpoint import save", "imports memjax.checkpoint"),
        ("mitigation.refresh", "from memjax import cli", "imports memjax.cli"),
        ("plot", "from memjax.cli import main", "imports memjax.cli"),
        ("network", "from memjax.training import train", "imports memjax.training"),
        ("training", "from memjax.cli import main", "imports memjax.cli"),
        ("devices.volatile", "import memjax", "as a whole"),
        ("devices.volatile", "from jax.numpy import *", "star import"),
        ("helpers", "", "in no row"),
        # libraries of the physics
        ("noise", "import numpy", "imports numpy"),
        ("devices.volatile", "import scipy.special", "imports scipy.special"),
        ("energy", "import flax", "imports flax"),
        ("neurons", "from flax import linen", "imports flax.linen"),
        ("errors", "import jax", "standard library only"),
        ("", "import jax", "standard library only"),
        # one home each
        ("learning", "from flax import nnx", "uses flax.nnx"),
        ("learning", "import flax\nflax.nnx.Module", "uses flax.nnx"),
        ("network", "import optax", "uses optax"),
        ("learning", "import orbax.checkpoint as ocp", "uses orbax"),
        ("cli", "import matplotlib.pyplot as plt", "uses matplotlib"),
        ("crossbar", "def f():\n    import diffrax", "uses diffrax"),
        ("cli", "def f():\n    from pydantic import BaseModel", "uses pydantic"),
        ("cli", "import xarray as xr", "uses xarray"),
        ("cli", "def f():\n    import optimistix", "uses optimistix"),
        ("learning", "from memjax.fitting import fit", "imports memjax.fitting"),
        ("cli", "import yaml", "uses yaml"),
        ("learning", "from rich.progress import Progress", "uses rich"),
        # settings, jit, randomness, pickles
        ("cli", "import jax\njax.config.update('jax_enable_x64', True)", "uses jax.config"),
        ("devices.volatile", "from jax import config as c", "uses jax.config"),
        ("learning", "from jax._src import core", "uses jax._src"),
        ("crossbar", "import jax\n@jax.jit\ndef f(): ...", "uses jax.jit"),
        (
            "wires",
            "from functools import partial\nfrom jax import jit as j\npartial(j, static_argnums=0)",
            "uses jax.jit",
        ),
        ("datasets", "import numpy as np\nnp.random.default_rng(0)", "uses numpy.random"),
        ("cli", "from numpy import random", "uses numpy.random"),
        ("checkpoint", "import pickle", "uses pickle"),
        ("datasets", "import numpy as np\nnp.load('x', allow_pickle=True)", "allow_pickle"),
        # module-level arrays
        ("devices.volatile", "import jax.numpy as jnp\nA = jnp.zeros(3)", "no module-level arrays"),
        ("learning", "from jax import random\nclass C:\n    key = random.key(0)", "no module-level arrays"),
        ("encoding", "import jax.numpy as jnp\ndef f(x=jnp.array(1.0)): ...", "no module-level arrays"),
    ],
)
def test_checker_finds(module, text, complaint):
    found = violations(Source(module, text))
    assert any(complaint in sentence for sentence in found), found


@pytest.mark.parametrize(
    "module, text",
    [
        (
            "devices.volatile",
            "import math\nimport jax\nimport jax.numpy as jnp\nfrom flax import struct\nfrom .. import noise",
        ),
        ("devices.volatile", "from memjax.devices.base import Device\nfrom memjax.errors import bad"),
        ("devices.base", "from memjax.devices._solvers import advance"),
        ("devices.volatile", "import jax.numpy as jnp\ndef f(x):\n    return jnp.zeros(3)"),
        ("network", "from flax import nnx\nfrom memjax import crossbar, programming"),
        ("learning", "import jax, optax\nfrom memjax import network\nf = jax.jit(network.f)"),
        ("crossbar", "import jax\nfrom memjax.wires import solve\ndef f(k): return jax.random.normal(k)"),
        ("datasets", "import numpy as np\nnp.load('x', allow_pickle=False)"),
        ("wires", "import jax\nwith_x64 = jax.enable_x64"),
        ("cli", "import typer, rich\nfrom memjax import plot, learning"),
    ],
)
def test_checker_accepts(module, text):
    assert violations(Source(module, text)) == []


def test_relative_imports_of_a_package():
    assert Source("devices", "from .base import Device", is_package=True).inner_imports() == {"devices.base.Device"}
    assert Source("devices.volatile", "from .base import Device").inner_imports() == {"devices.base.Device"}


def test_cycle_finder():
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    assert cycles({"a": {"b"}, "b": set()}) == []
