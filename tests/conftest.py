"""Settings and fixtures shared by all tests."""

import os
from pathlib import Path

import jax
import pytest

# Tests run stricter than users do: a silent float64 -> float32 mix or an accidental (3,) + (2, 3) fails here first.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

REPO = Path(__file__).resolve().parent.parent


@pytest.fixture
def x64():
    """Run the test with 64-bit types enabled."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of measured data and full data sets, or skip: no default test needs it."""
    candidates = [os.environ.get("MEMJAX_DATA"), REPO.parent / "shared" / "data"]
    for candidate in candidates:
        if candidate and Path(candidate).is_dir():
            return Path(candidate)
    pytest.skip("no data folder: set MEMJAX_DATA, or put it at ../shared/data")
