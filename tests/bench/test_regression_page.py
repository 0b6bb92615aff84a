"""The page on regression tests: its workflow, its commands, its tables and its examples are true."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer.main

import optcore_bench
from optcore_bench.cli import app
from optcore_bench.gate import Gate, read_gate
from optcore_bench.testing import assert_solves

PAGE = (Path(optcore_bench.__file__).parent / "REGRESSION.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_workflow_is_yaml_of_ten_lines_whose_commands_exist() -> None:
    yaml = pytest.importorskip("yaml")
    (text,) = blocks("yaml")
    assert len(text.splitlines()) == 10
    workflow = yaml.safe_load(text)
    assert workflow[True] == "pull_request"  # YAML 1.1 reads `on` as true, GitHub doesn't
    steps = workflow["jobs"]["gate"]["steps"]
    assert steps[0] == {"uses": "actions/checkout@v4", "with": {"fetch-depth": 0}}
    assert steps[1]["run"].split()[:2] == ["pip", "install"]
    program, name, *rest = steps[2]["run"].split()
    assert program == "optcore"
    command: Any = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    options = [word for word in rest if word.startswith("--")]
    assert options == ["--rev", "--study", "--markdown"]
    assert set(options) <= known


def test_every_command_and_option_on_the_page_exists() -> None:
    commands: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in re.findall(r"`optcore ([a-z-]+)", PAGE):
        assert name in commands
    known = {option for parameter in commands["compare"].params for option in parameter.opts}
    assert set(re.findall(r"`(--(?:robust|figures|json|markdown|rev|study))\b", PAGE)) <= known


def test_the_table_of_limits_is_that_of_the_gate() -> None:
    rows = re.findall(r"^\| (`[a-z0-9_`, ]+) \| ([^|]+) \|", PAGE, flags=re.MULTILINE)
    shown: dict[str, Any] = {}
    for names, values in rows:
        keys = re.findall(r"`([a-z0-9_]+)`", names)
        shown |= zip(keys, (value.strip(' "') for value in values.split(",")), strict=True)
    assert shown.keys() == {key.name for key in fields(Gate)}
    for key in fields(Gate):
        assert type(key.default)(shown[key.name]) == key.default


def test_the_gate_in_the_study_is_one() -> None:
    (text,) = blocks("toml")
    assert read_gate(tomllib.loads(text)["gate"]) == Gate()


def test_the_example_without_a_baseline_holds() -> None:
    (example,) = (text for text in blocks("python") if "assert_solves" in text)
    pattern = r'assert_solves\("(\w+)", problems="(\w+)", at_least=(\d+), tau=([\d.e-]+)\)'
    ((name, problems, least, tau),) = re.findall(pattern, example)
    assert_solves(name, problems, at_least=int(least), tau=float(tau))
