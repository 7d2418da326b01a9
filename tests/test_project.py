"""The project's own files agree with each other and with the package."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version
from typer.testing import CliRunner

from amlora.cli.app import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "amlora"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
REQUIREMENTS = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
# Imported and not required: each comes with the requirement named, which itself requires it.
BROUGHT = {
    **dict.fromkeys(("numpy", "tokenizers", "pyyaml"), "transformers"),
    "markupsafe": "jinja2",
}
MODULE_OF = {"jinja2": "jinja2", "pyyaml": "yaml", "tomli-w": "tomli_w"}


def pins() -> dict[NormalizedName, Version]:
    """Return the constraints by name; any other form of line fails."""
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()]
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line[:1] != "#"]
    assert None not in found
    return {canonicalize_name(match[1]): Version(match[2]) for match in found if match}


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_every_requirement_has_a_lower_bound_and_a_pin_above_it(line: str):
    requirement = Requirement(line)
    if requirement.name == "amlora":
        assert requirement.extras <= set(EXTRAS)
        return
    assert any(part.operator == ">=" for part in requirement.specifier)
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_what_is_installed_is_what_is_pinned():
    installed = {canonicalize_name(d.metadata["Name"]): d.version for d in metadata.distributions()}
    wrong = {
        name: installed[name]
        for name, version in pins().items()
        # A local build such as 2.13.0+cpu satisfies the pin of 2.13.0.
        if name in installed and Version(Version(installed[name]).public) != version
    }
    assert wrong == {}


def test_the_makefile_installs_the_pinned_torch():
    assert re.findall(r"torch==(\S+)", MAKEFILE) == [str(pins()[canonicalize_name("torch")])]


def test_the_makefile_asks_for_extras_that_exist():
    asked = re.findall(r"EXTRAS := (\S+)", MAKEFILE)
    assert len(asked) == 3
    assert {extra for line in asked for extra in line.split(",")} <= set(EXTRAS)


def test_every_package_that_is_imported_is_required():
    imported: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    names = {canonicalize_name(Requirement(line).name) for line in REQUIREMENTS}
    modules = {MODULE_OF.get(name, name.replace("-", "_")) for name in names}
    brought = {MODULE_OF.get(name, name) for name in BROUGHT}
    assert imported - modules - brought - set(sys.stdlib_module_names) - {"amlora"} == set()


@pytest.mark.parametrize(("package", "by"), BROUGHT.items())
def test_what_a_requirement_brings_is_what_it_requires(package: str, by: str):
    brought = {canonicalize_name(Requirement(line).name) for line in metadata.requires(by) or []}
    assert package in brought


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    changes = re.search(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert changes is not None
    assert {citation["version"], changes[1], metadata.version("amlora")} == {PROJECT["version"]}


def test_the_matrix_of_python_versions_is_the_one_that_is_promised():
    text = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    matrix = yaml.safe_load(text)["jobs"]["test"]["strategy"]["matrix"]["python"]
    promised = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert matrix == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_continuous_integration_runs_make_test():
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make test" in (ROOT / ".ci/run").read_text("utf-8")
    assert "make test" in (ROOT / ".github/workflows/ci.yml").read_text("utf-8")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/index.md", "docs/speed.md"])
def test_make_targets_that_are_spoken_of_exist(name: str):
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", (ROOT / name).read_text("utf-8"), re.M))
    assert named
    assert named <= TARGETS


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_make_knows_how_to_make_each_target(target: str):
    subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def commands() -> list[list[str]]:
    """Return every `amlora ...` line of the README, the Makefile and the docs, as words."""
    pages = [page.read_text("utf-8") for page in sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join([README, MAKEFILE, *pages])
    found = re.findall(r"(?:^ {4}(?:\$ )?|`|\(BIN\)/)amlora ([^`\n]+)", text, re.MULTILINE)
    return [line.split() for line in sorted(set(found))]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_that_are_spoken_of_exist_with_their_options(words: list[str]):
    names = words[: 2 if words[0] == "config" else 1]
    names = [name for name in names if not name.startswith("--")]
    help_of = CliRunner().invoke(app, [*names, "--help"])
    assert help_of.exit_code == 0, help_of.output
    wanted = re.findall(r"--[a-z-]+", " ".join(words))
    assert [option for option in wanted if not re.search(rf"{option}\b", help_of.output)] == []


def test_the_page_of_results_shows_a_printed_matrix():
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    block = re.search(r"<!-- matrix -->(.*)<!-- /matrix -->", page, re.DOTALL)
    assert block is not None
    assert len(re.findall(r"\d+\.\d", block[1])) >= 9


def test_a_wheel_holds_the_package_its_data_and_the_shipped_settings(tmp_path: Path):
    from hatchling.builders.wheel import WheelBuilder

    [built] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    names = set(zipfile.ZipFile(built).namelist())
    kept = (path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc")
    sources = {path.relative_to(ROOT / "src").as_posix() for path in kept}
    configs = {f"amlora/configs/{path.name}" for path in (ROOT / "configs").glob("*.toml")}
    assert {"amlora/py.typed", "amlora/streams/catalogue/tasks/dbpedia.toml"} <= sources
    assert configs
    assert (sources | configs) - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)
