"""`import memjax` is fast, quiet and small."""

import subprocess
import sys
import time

import pytest

import memjax

HEAVY = ["jax", "numpy", "flax", "optax", "orbax", "matplotlib", "xarray", "pydantic", "typer"]


def in_new_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_takes_less_than_one_and_a_half_seconds():
    def seconds():
        start = time.perf_counter()
        in_new_process("import memjax")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(3)) < 1.5


def test_import_loads_nothing_heavy():
    code = f"import sys, memjax; print([name for name in {HEAVY} if name in sys.modules])"
    assert in_new_process(code).strip() == "[]"


def test_physics_loads_no_plotting_files_or_configuration():
    code = (
        "import sys, memjax; memjax.devices.names(); "
        "print([n for n in ('flax.nnx', 'orbax', 'matplotlib', 'xarray', 'pydantic') if n in sys.modules])"
    )
    assert in_new_process(code).strip() == "[]"


def test_at_most_a_dozen_public_names():
    names = [name for name in dir(memjax) if not name.startswith("_")]
    assert 0 < len(names) <= 12
    assert set(memjax.__all__) == set(names)


@pytest.mark.parametrize("name", memjax.__all__)
def test_every_public_name_resolves(name):
    assert getattr(memjax, name).__name__ == f"memjax.{name}"


def test_version():
    assert memjax.__version__.count(".") == 2


def test_unknown_name_says_what_exists():
    with pytest.raises(AttributeError, match="no attribute 'crosbar'.*crossbar"):
        memjax.crosbar  # noqa: B018  (the access is the test)
