"""The documentation says what the code does: pages, links, settings, examples."""

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from amlora.experiment.naming import run_name
from amlora.experiment.settings import load_settings, resolved, settings_from
from amlora.methods import METHODS
from amlora.methods.base import Method
from amlora.streams import catalogue
from amlora.streams.prompt import build_prompt
from amlora.streams.quickstart import PARTS
from amlora.streams.task import Task
from methods.learning import STAGES, learn, whole_and_resumed
from trained import load_base

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def label(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else ""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def nav_pages(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from nav_pages(value)


def blocks(language: str) -> list[tuple[Path, str]]:
    """Return every code block of a language in any page, without its indentation."""
    found: list[tuple[Path, str]] = []
    for page in PAGES:
        for indent, kind, code in BLOCK.findall(text_of(page)):
            if kind == language:
                found.append((page, re.sub(f"^{indent}", "", code, flags=re.MULTILINE)))
    return found


def plain_settings(method: str) -> dict[str, Any]:
    """Return a method's settings and their defaults by dotted path."""
    settings = resolved(
        settings_from({"name": "x", "method": {"name": method}, "stream": {"name": "quickstart"}})
    )["method"]

    def flat(table: dict[str, Any], path: str) -> Iterator[tuple[str, Any]]:
        for key, value in table.items():
            if isinstance(value, dict):
                yield from flat(value, f"{path}.{key}")
            else:
                yield f"{path}.{key}", value

    return dict(flat({key: value for key, value in settings.items() if key != "name"}, "method"))


def shown(value: Any) -> str:
    """Write a default as the pages do: as TOML, None as "none"."""
    if value is None:
        return '"none"'
    return f'"{value}"' if isinstance(value, str) else str(value)


def test_the_navigation_and_the_folder_hold_the_same_pages():
    nav = yaml.safe_load(text_of(ROOT / "mkdocs.yml"))["nav"]
    pages = [page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")]
    assert sorted(nav_pages(nav)) == sorted(pages)


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_somewhere(page: Path):
    targets = [link.partition("#")[0] for link in LINK.findall(text_of(page)) if "://" not in link]
    assert [target for target in targets if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_paths_of_the_repository_exist(page: Path):
    paths = re.findall(r"`((?:src|tests|docs|benchmarks|configs)/[\w./-]+)`", text_of(page))
    commands = re.findall(r"\bconfigs/[\w.-]+\.toml", text_of(page))
    assert [path for path in paths + commands if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_page_with_its_settings_and_their_defaults(method: str):
    page = text_of(DOCS / "methods" / f"{method}.md")
    rows = dict(re.findall(r"^\| `(method\.[\w.]+)` \| `([^`]*)` \|", page, re.MULTILINE))
    assert rows == {path: shown(value) for path, value in plain_settings(method).items()}


def test_the_first_page_and_the_menu_name_every_method_once():
    rows = re.findall(
        r"^\| \[`(\w+)`\]\(methods/(\w+)\.md\)", text_of(DOCS / "index.md"), re.MULTILINE
    )
    assert sorted(rows) == sorted((name, name) for name in METHODS)
    menu = re.findall(r"methods/(\w+)\.md", text_of(ROOT / "mkdocs.yml"))
    assert sorted(menu) == sorted(METHODS)


@pytest.mark.parametrize("page", sorted((DOCS / "methods").glob("*.md")), ids=label)
def test_a_method_page_has_the_same_sections_as_the_others(page: Path):
    assert re.findall(r"^## (.*)$", text_of(page), re.MULTILINE) == [
        "Equation",
        "Trained, stored, growth",
        "Settings",
        "Traps",
        "Measured",
    ]
    assert f"<!-- table: method {page.stem} -->" in text_of(page).partition("## Measured")[2]
    assert len(text_of(page).splitlines()) <= 95


@pytest.mark.parametrize("order", catalogue.orders())
def test_the_lambda_lists_name_each_task_of_their_order(order: str):
    row = re.search(rf"^\| {order} \| (.*) \|$", text_of(DOCS / "paper.md"), re.MULTILINE)
    assert row is not None
    names, values = zip(*(pair.split(" ") for pair in row.group(1).split(", ")), strict=True)
    assert names == catalogue.orders()[order]
    assert all(0 <= float(value) <= 0.3 for value in values)


def test_the_papers_settings_have_the_lambdas_of_their_order():
    [code] = [code for page, code in blocks("toml") if page.name == "paper.md"]
    settings = tomllib.loads(code)
    order = settings["stream"]["order"]
    row = re.search(rf"^\| {order} \| (.*) \|$", text_of(DOCS / "paper.md"), re.MULTILINE)
    assert row is not None
    listed = [float(pair.split(" ")[1]) for pair in row[1].split(", ")]
    assert settings["method"]["sparsity"] == listed


@pytest.mark.parametrize("page, code", blocks("toml"), ids=label)
def test_toml_examples_are_right(page: Path, code: str):
    table = tomllib.loads(code)
    if "project" in table:
        return
    minimal = {"name": "x", "method": {"name": "am_lora"}, "stream": {"name": "quickstart"}}
    assert settings_from({**minimal, **table})


@pytest.mark.parametrize("page, code", blocks("python"), ids=label)
def test_python_examples_use_what_is_there(page: Path, code: str):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "amlora":
            assert node.attr in dir(importlib.import_module("amlora"))


def test_the_page_about_loading_asks_as_the_quick_start_was_taught():
    pages = [code for page, code in blocks("python") if page.name == "load-and-share.md"]
    code = "".join(pages)
    [prompt] = re.findall(r"prompt = (\(.*?\n\))", code, re.DOTALL)
    [sms] = [part for part in PARTS if part.name == "sms"]
    task = Task(
        name=sms.name,
        instruction=sms.instruction,
        options=sms.options,
        train=(),
        dev=(),
        test=(),
    )
    text = "Congratulations! You have won a 1000 pound prize. Call 09061234567 now to claim it."
    assert ast.literal_eval(prompt) == build_prompt(task, text).full


def test_the_page_of_results_names_the_folders_that_the_demo_leaves():
    named = set(re.findall(r"runs/(quickstart-[\w.-]+)", text_of(DOCS / "results.md")))
    methods = ("sin_lora", "am_lora", "anchored_lora")
    config = DOCS.parent / "configs" / "quickstart.toml"
    assert named == {run_name(load_settings(config, method=method)) for method in methods}


def test_the_page_about_loading_names_the_folder_of_the_example_of_own_tasks():
    [code] = [code for _, code in blocks("toml") if code.startswith("# Two tasks of our own.")]
    name = run_name(settings_from(tomllib.loads(code)))
    assert f'amlora.load("runs/{name}")' in text_of(DOCS / "howto" / "load-and-share.md")


def test_the_examples_in_pandas_print_what_the_page_shows(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = text_of(DOCS / "howto" / "pandas.md")
    found = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    assert len(found) == page.count("```python")
    names: dict[str, Any] = {}
    for code, shown in found:
        exec(compile(code, "pandas.md", "exec"), names)
        lines = capsys.readouterr().out.splitlines()
        assert [line.rstrip() for line in lines] == shown.splitlines()


def test_the_example_method_learns_and_goes_on_from_its_state(llama_folder):
    [code] = [code for page, code in blocks("python") if page.name == "own-method.md"]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "own-method.md", "exec"), names)

    def make() -> Method:
        return names["L2"](load_base(llama_folder), names["L2Settings"](), seed=0)

    whole, resumed = whole_and_resumed(make)
    assert learn(whole, STAGES[2]) == learn(resumed, STAGES[2])
    assert list(learn(make(), STAGES[0])) == ["task"]


def test_the_page_about_methods_lists_every_hook():
    page = text_of(DOCS / "howto" / "own-method.md")
    hooks = {name for name, value in vars(Method).items() if callable(value) and name[0] != "_"}
    hooks -= {"Settings", "begin_changes_answers"}
    assert {name for name in hooks if f"`{name}(" not in page} == set()
