"""The command line as a whole: help, versions, wrong input of every kind, interrupts."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from amlora.cli import start
from command import amlora, said

COMMANDS = (
    *(
        "config",
        "doctor",
        "figure",
        "grid",
        "ls",
        "methods",
        "orders",
        "predict",
        "report",
        "run",
        "show",
    ),
    *("table", "tasks", "version", "data"),
    *("learn", "versions", "diff", "publish", "rollback", "prune", "eval", "remove", "rename"),
)


def test_help_names_every_command():
    out = said("--help")
    assert all(f"\n  {name} " in out for name in COMMANDS)


def test_every_command_has_help_with_a_purpose_and_without_a_command_the_help_is_shown():
    assert all(said(name, "--help").splitlines()[2].strip() for name in COMMANDS)
    assert said() == said("--help")


@pytest.mark.parametrize("word", ["version", "--version"])
def test_the_version_is_the_installed_one(word):
    assert amlora(word) == (0, f"{metadata.version('amlora')}\n", "")


def test_help_imports_nothing_heavy():
    """The time itself is a benchmark's; what makes it long is tested here."""
    code = (
        "import sys; from amlora.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'rich', 'pydantic', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


GOOD = """
[method]
name = "am_lora"
[stream]
[[stream.tasks]]
name = "a"
source = "absent"
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current folder with settings files, good and bad, and the folder of an unfinished run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "grid.toml").write_text('base = "good.toml"\n[[methods]]\nname = "sin_lora"\n')
    (tmp_path / "broken.toml").write_text("[method\n")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "typo.toml").write_text(GOOD.replace("[method]", "[method]\nsparcity = 1e-5"))
    run = tmp_path / "runs" / "half-am_lora-12345678-0"
    run.mkdir(parents=True)
    (run / "config.toml").write_text(GOOD)
    (tmp_path / "plain").mkdir()
    (tmp_path / "page.html").write_text("mine")
    (tmp_path / "quickstart.toml").write_text("mine")
    return tmp_path


WRONG = [
    ("runn", "No such command 'runn'. Did you mean 'run', 'prune'?"),
    ("run", "Missing argument 'CONFIG'."),
    ("run good.toml --metod x", "No such option: --metod (Possible options: --method"),
    ("run good.toml extra", "Got unexpected extra argument(s) (extra)"),
    ("run good.toml --set", "Option '--set' requires an argument."),
    ("run absent.toml", "absent.toml: no such settings file; shipped: "),
    ("run quickstat", "quickstat: no such settings file; did you mean 'quickstart'?"),
    ("run plain", "plain: a folder, not a settings file."),
    ("run broken.toml", "broken.toml: line 1: not TOML: Expected ']'"),
    ("run bytes.toml", "bytes.toml: not UTF-8 at byte 0."),
    ("run typo.toml", "unknown setting 'method.sparcity'; did you mean 'sparsity'?"),
    ("run good.toml --method amlora", "method.name: unknown method 'amlora'; did you mean"),
    ("run good.toml --set train.lr", "--set train.lr: expected dotted.path=value"),
    ("run good.toml --set train.lr=fast", "train.lr: expected a number, got 'fast'."),
    ("run good.toml --set train.lrr=1", "unknown setting 'train.lrr'; did you mean 'lr'?"),
    ("run good.toml --set train.batch=0", "train.batch must be at least 1, got 0."),
    ("run good.toml --set method.lora.rank=-1", "method.lora.rank must be at least 1, got -1."),
    ("run good.toml --set name=a/b", "name: 'a/b' cannot name a folder;"),
    ("run good.toml --set stream.order=7", "stream"),
    ("run good.toml -q -v", "--quiet and --verbose exclude each other."),
    ("run good.toml --json", "--json: give --dry-run as well;"),
    ("run good.toml --track tensorbord", "--track: unknown tracker 'tensorbord'; did you mean"),
    ("run good.toml --dry-run --track wandb", "--track and --dry-run exclude each other."),
    ("run good.toml --runs page.html", "page.html: a file, not a folder of runs."),
    ("run good.toml", "stream.tasks[0]"),
    ("run good.toml --dry-run", "stream.tasks[0]"),
    ("config shw", "No such command 'shw'. Did you mean 'show'?"),
    ("config show quikstart", "quikstart: no such settings file; did you mean 'quickstart'?"),
    ("config check typo.toml", "unknown setting 'method.sparcity'"),
    ("config copy absent", "absent: no such settings file; shipped:"),
    ("config copy quickstart", "quickstart.toml: is there already; --force overwrites it."),
    ("config copy quickstart no/such.toml", "no: no such folder."),
    ("ls absent", "absent: no such folder of runs."),
    ("show hlaf", "hlaf: no such run in runs; there are: half-am_lora-12345678-0."),
    ("show half", "runs/half-am_lora-12345678-0: not finished;"),
    ("show plain", "plain: not a run folder;"),
    ("show x --runs absent", "x: no such run, and no folder absent to look its name up in."),
    ("report half", "runs/half-am_lora-12345678-0: not finished;"),
    ("report half --out page.html", "page.html: is there already; --force overwrites it."),
    ("report half --out plain", "plain: a folder, not a file to write."),
    ("report half --out no/page.html", "no: no such folder."),
    (f"report half --out {'x' * 300}.html", f"{'x' * 300}.html: file name too long."),
    ("report", "Missing argument 'RUNS|SKILLS'."),
    ("table paper-3 half", "Invalid value for 'kind': 'paper-3' is not one of 'methods', 'pairs',"),
    ("table methods half", "runs/half-am_lora-12345678-0: not finished;"),
    ("table methods half --format xml", "Invalid value for '--format': 'xml' is not one of"),
    ("table methods half --against x", "--against: only the table pairs compares with a line."),
    ("table methods half --out page.html", "page.html: is there already; --force overwrites it."),
    ("run grid.toml", "grid.toml: a grid file, which amlora grid takes."),
    ("run attention-order1", "attention-order1: a grid file, which amlora grid takes."),
    ("config check grid.toml", "grid.toml: a grid file, which amlora grid takes."),
    ("config show bytes.toml", "bytes.toml: not UTF-8 at byte 0."),
    ("grid good.toml --list", "good.toml: a settings file, which amlora run takes."),
    ("grid quickstart", "quickstart: a settings file, which amlora run takes."),
    (
        "grid grid.toml --shard \u0663/\u0664",
        "--shard \u0663/\u0664: expected I/N with I",
    ),
    ("methods am_lra", "unknown method 'am_lra'; did you mean 'am_lora'?"),
    ("tasks yelpp", "unknown task 'yelpp'; did you mean 'yelp'?"),
    ("orders 7", "unknown order '7'; orders: 1, 2, 3, 4, 5, 6."),
    ("doctor --data --data-root absent", "absent: no such folder."),
    ("doctor --data-root .", "--data-root: give --data as well."),
    ("doctor --data --model x", "--data and --model exclude each other."),
    ("show runs", "runs: 1 runs; name one: half-am_lora-12345678-0."),
    ("table methods plain", "plain: not a run folder;"),
    ("learn my", "Missing option '--task'."),
    ("learn my --task a", "Missing option '--data'."),
    ("learn my --task a --data a.csv --rank 0", "--rank must be at least 1, got 0."),
    ("learn my --task a --data a.csv --lr 0", "--lr must be above 0, got 0"),
    ("learn my --task a --data a.csv --steps 0", "--steps must be at least 1, got 0."),
    ("learn my --task a --data a.csv --keep-dev all", "--keep-dev: expected a number of rows or"),
    ("learn my --task a --data a.csv --keep-dev -1", "--keep-dev: expected a number of rows or"),
    ("learn my --task a --data a.csv --options a,,b", "--options: expected a list as in 'a, b',"),
    ("learn my --task a --data a.csv --max-drop 101", "--max-drop must be at least 0 and at most"),
    ("learn my --task a --data a.csv --uses some", "Invalid value for '--uses': 'some' is not"),
    ("report plain runs --version 1", "--version: plain is no skills folder."),
]


@pytest.mark.parametrize(("words", "line"), WRONG, ids=[words for words, _ in WRONG])
def test_wrong_input_is_one_line_and_status_2_and_writes_nothing(here, words, line):
    before = {path: path.stat().st_mtime_ns for path in here.rglob("*")}
    status, out, err = amlora(*words.split())
    assert {path: path.stat().st_mtime_ns for path in here.rglob("*")} == before
    assert (status, out) == (2, "")
    assert err.startswith(f"amlora: {line}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [[""], ["show", ""], ["methods", "--model", ""]], ids=str)
def test_an_empty_argument_is_refused(words):
    line = f"amlora: argument {len(words)} is empty.\n"
    assert amlora(*words) == (2, "", line)


def test_an_interrupted_run_tells_the_command_that_goes_on():
    words = ["run", "my file.toml", "--force", "--set", "train.lr=1e-4"]
    assert start.interrupted(words) == (
        "amlora: interrupted; to go on: amlora run 'my file.toml' --set train.lr=1e-4"
    )


def test_an_interrupted_learn_tells_the_command_that_goes_on():
    words = ["learn", "my skills", "--task", "a", "--data", "a.csv"]
    assert start.interrupted(words) == (
        "amlora: interrupted; to go on: amlora learn 'my skills' --task a --data a.csv"
    )


def test_other_interrupted_commands_have_nothing_to_go_on_with():
    assert start.interrupted(["ls"]) == "amlora: interrupted."


INTERRUPTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{number})
sys.meta_path.insert(0, Finder())
from amlora.cli.main import main
main()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["amlora.cli.start", "amlora.cli.terminal", "typer", "torch"])
def test_an_interrupt_amid_imports_is_one_line(module, number):
    code = INTERRUPTING.format(module=module, number=number)
    done = subprocess.run([sys.executable, "-c", code, "methods"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "amlora: interrupted.\n"


def test_a_signal_that_is_to_be_ignored_is():
    code = INTERRUPTING.format(module="typer", number="SIGINT")
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN){code}"
    done = subprocess.run([sys.executable, "-c", code, "orders"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_output_to_a_closed_pipe_leaves_no_traceback():
    shell = f"{sys.executable} -m amlora methods | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stderr == ""
