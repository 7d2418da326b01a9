"""Who may import whom, and what no module of the package may do."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "amlora"
MODULES = sorted(PACKAGE.rglob("*.py"))

BASIS = {"errors", "files", "formats", "printable", "settings"}
LEAVES = {"mixture", "streams", "evaluate", "records"}
# Each folder or module of the package, and what of the package it may import besides itself. A name
# with a dot allows that module only.
ALLOWED = {
    "__main__": {"cli"},
    "errors": set(),
    "files": {"errors", "formats"},
    "formats": {"errors", "settings"},
    "printable": set(),
    "settings": {"errors"},
    "records": BASIS | {"evaluate"},
    "cache": BASIS,
    "wheels": BASIS | {"cache"},
    "mixture": BASIS,
    "streams": BASIS | {"wheels"},
    "evaluate": BASIS,
    "methods": BASIS
    | LEAVES
    | {"engine.batch", "engine.encode", "engine.backbone", "engine.generate", "engine.padding"}
    | {"engine.route"},
    "engine": BASIS | LEAVES | {"cache", "wheels", "methods.base"},
    "report": BASIS | {"evaluate", "records"},
    "experiment": BASIS | LEAVES | {"wheels", "methods", "engine"},
    "grid": BASIS | LEAVES | {"methods", "engine", "experiment"},
    "skills": BASIS | LEAVES | {"cache", "wheels", "methods", "engine", "experiment"},
    "cli": BASIS
    | LEAVES
    | {"cache", "wheels", "methods", "engine", "report", "experiment", "grid", "skills"},
}
HEAVY = {
    *("torch", "transformers", "accelerate", "peft", "datasets"),
    *("matplotlib", "scipy", "pandas", "pyarrow"),
}
LONGEST = 400  # lines
WRITERS = {"files.py"}


def part(module: str) -> str:
    """Return the part of the package that a dotted name lies in ("" for the package itself)."""
    return module.partition(".")[2].partition(".")[0]


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Give every import of the package, lazy ones too, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            assert node.module is not None
            # `from amlora import files` names a module as well.
            direct = node.module == "amlora"
            yield from (
                (node.lineno, f"amlora.{alias.name}" if direct else node.module)
                for alias in node.names
            )


def allowed(here: str, module: str) -> bool:
    """Tell whether a part of the package may import a dotted name."""
    there = part(module)
    if there == here:
        return True
    if here in ("", "__init__"):
        return there != "cli"
    wanted = module.removeprefix("amlora.")
    return any(wanted == name or wanted.startswith(name + ".") for name in ALLOWED[here])


def label(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def test_every_part_of_the_package_has_its_rule():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in MODULES}
    assert parts - {"__init__"} == set(ALLOWED)


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_imports_go_one_way(path: Path, trees: dict[Path, ast.Module]):
    here = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    wrong = [
        f"line {line}: {module}"
        for line, module in imports(trees[path])
        if module.split(".")[0] == "amlora" and not allowed(here, module)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("here", "module", "fine"),
    [
        ("mixture", "amlora.mixture.bank", True),
        ("methods", "amlora.engine.batch", True),
        ("methods", "amlora.engine.train", False),
        ("report", "amlora.experiment.run", False),
        ("__init__", "amlora.cli.main", False),
    ],
)
def test_the_rule_itself(here: str, module: str, fine: bool):
    assert allowed(here, module) is fine


@pytest.mark.parametrize("module", ["amlora", "amlora.cli.main", "amlora.errors", "amlora.files"])
def test_nothing_heavy_is_imported_before_it_is_needed(module: str):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_nothing_is_pickled(trees: dict[Path, ast.Module]):
    found = []
    for path, tree in trees.items():
        modules = {name.split(".")[0] for _, name in imports(tree)}
        found += [f"{label(path)}: {name}" for name in modules & {"pickle", "dill", "joblib"}]
        found += [
            f"{label(path)}:{node.lineno}: torch.{node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "torch"
            and node.attr in ("save", "load")
        ]
    assert found == []


CHANGES = {
    *("mkdir", "makedirs", "unlink", "rename", "rmdir", "rmtree", "touch", "symlink_to"),
    *("mkdtemp", "mkstemp", "TemporaryDirectory", "NamedTemporaryFile", "copyfile", "copytree"),
}


def writes(call: ast.Call) -> bool:
    """Tell whether a call changes files or folders without files.py."""
    if isinstance(call.func, ast.Name):
        return call.func.id == "open" and opens_to_write(call)
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr in CHANGES:
        # A skill may be renamed, by its old and its new name; a path knows its old one.
        of_os = isinstance(call.func.value, ast.Name) and call.func.value.id == "os"
        return of_os or call.func.attr != "rename" or len(call.args) != 2
    if call.func.attr in ("write_text", "write_bytes"):
        # `files.write_text` is ours, `path.write_text` is not.
        return not (isinstance(call.func.value, ast.Name) and call.func.value.id == "files")
    return call.func.attr == "open" and opens_to_write(call)


def opens_to_write(call: ast.Call) -> bool:
    # `open(path, mode)` has its mode second, `path.open(mode)` first.
    values = [*call.args[:2], *(word.value for word in call.keywords if word.arg == "mode")]
    modes = [value.value for value in values if isinstance(value, ast.Constant)]
    return any(re.fullmatch(r"[rbt]*[wax+][rbt+]*", str(mode)) for mode in modes)


def test_only_the_writers_write_files(trees: dict[Path, ast.Module]):
    found = [
        f"{label(path)}:{node.lineno}"
        for path, tree in trees.items()
        if label(path) not in WRITERS
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and writes(node)
    ]
    assert found == []


OWN_PARSERS = {
    "formats.py",
    "streams/read.py",  # finds where a value ends; a note that is left alone where it is none
    "engine/source.py",  # a model's own file, in which numbers may be infinite
    "engine/fingerprint.py",  # what the tokenizer's library has written a moment ago
}


def test_only_the_parsers_parse(trees: dict[Path, ast.Module]):
    parse = re.compile(r"(json\.loads?|tomllib\.\w+)")
    found = {
        label(path)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and parse.fullmatch(ast.unparse(node.func))
    }
    assert found - OWN_PARSERS == set() and "formats.py" in found


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("open(path, 'w')", True),
        ("path.open(mode='x')", True),
        ("path.write_text(text)", True),
        ("path.parent.mkdir(parents=True)", True),
        ("zip.open('data.csv')", False),
        ("os.rename(old, new)", True),
        ("path.rename(new)", True),
        ("skills.rename(old, new)", False),
        ("files.write_text(path, text)", False),
    ],
)
def test_the_search_for_writers_finds_them(code: str, expected: bool):
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call)
    assert writes(call) is expected


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_every_module_says_what_it_is_in_at_most_four_hundred_lines(
    path: Path, trees: dict[Path, ast.Module]
):
    assert ast.get_docstring(trees[path])
    assert path.read_text(encoding="utf-8").count("\n") <= LONGEST
