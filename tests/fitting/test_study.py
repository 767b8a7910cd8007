"""The study's page says what its results say."""

import importlib.util
import json
from pathlib import Path

STUDY = Path(__file__).resolve().parents[2] / "experiments" / "fits"


def test_the_readme_of_the_study_is_what_its_results_say():
    spec = importlib.util.spec_from_file_location("tables", STUDY / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    text = (STUDY / "README.md").read_text(encoding="utf-8")
    assert {name for _, name, _, _ in tables.BLOCK.findall(text)} == set(tables.BLOCKS)
    assert tables.filled(text, json.loads((STUDY / "results.json").read_text())) == text
