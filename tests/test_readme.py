"""The README's example runs, and its commands are the ones that are promised."""

import re
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_example_runs(capsys):
    example = blocks("python")[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 12
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.strip(), "the example should print what it found"


def test_commands():
    commands = "".join(blocks("bash")).splitlines()
    assert "pip install . && memjax train configs/edge_mnist.yaml" in commands
    assert 'pip install -e ".[test]" && pytest' in commands
