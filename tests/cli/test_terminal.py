"""What reaches a terminal: every command that prints, with names that would act there."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from amlora.cli.main import main
from amlora.cli.predict import print_answers
from amlora.cli.progress import Bars
from amlora.cli.start import show_fault
from small_run import write_rows
from stored import a_record

NASTY = {
    "escape": "\x1b[2Jgone",
    "link": "\x1b]8;;http://evil\x07here\x1b]8;;\x07",
    "one-byte escape": "\x9b31mred",
    "overwritten": "right\rwrong",
    "two lines": "one\namlora: done",
    "reversed": "a\u202egnp.exe",
    "markup": "[red]x[/red]",
    "wide": "中文 \N{EN DASH} ±é",
    "backspace": "no\x08\x08yes",
    "formula": '=HYPERLINK("x")',
}
TASKS = ("feel", "topic")
ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
ENCODINGS = ("utf-8", "cp1252", "latin-1", "ascii")
AMLORA = (sys.executable, "-m", "amlora")


def amlora(*words: object, encoding: str = "utf-8") -> tuple[object, str, str]:
    """Run `amlora` on a terminal of an encoding; return exit status, output and errors."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
    return left.value.code, texts[0], texts[1]


def labels_of(task: str) -> list[str]:
    """Return a task's labels: options have no line ends, free text may."""
    return [label for label in NASTY.values() if task == TASKS[1] or "\n" not in label]


class Place:
    """A run whose model, folder, labels, instructions and texts are nasty, and what it printed."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        for task in TASKS:
            for split in ("train", "dev", "test"):
                words = labels_of(task)
                rows = [{"text": f"{word} {split}", "label": word} for word in words]
                write_rows(folder / "data" / task / f"{split}.jsonl", rows)
        own = shutil.copytree(model, folder / "mo\x1b[2Jdel\r\u202e [red]")
        stated = "".join(
            f"[[stream.tasks]]\nname = '{task}'\nsource = '{task}'\n"
            f"options = {json.dumps(labels_of(task) if task == TASKS[0] else [])}\n"
            f"instruction = {json.dumps('What? ' + NASTY['escape'])}\n"
            for task in TASKS
        )
        self.config = folder / "nasty.toml"
        self.config.write_text(
            f"# {NASTY['reversed']}\n[model]\nname = {json.dumps(str(own))}\n"
            'precision = "float32"\ndevice = "cpu"\n[method]\nname = "am_lora"\nlora.rank = 2\n'
            f"[train]\nsteps = 1\nbatch = 2\n[evaluate]\nmax_new_tokens = 2\n"
            f"[stream]\ndata_root = {json.dumps(str(folder / 'data'))}\n{stated}",
            encoding="utf-8",
        )
        self.runs = folder / "ru\x9bns\n"
        self.status, self.out, self.err = amlora("run", self.config, "--runs", self.runs, "-v")
        (self.run,) = self.runs.iterdir()


@pytest.fixture(scope="module")
def place(tmp_path_factory, llama_folder) -> Place:
    return Place(tmp_path_factory.mktemp("place"), llama_folder)


def test_a_run_tells_its_progress_in_lines_that_do_nothing(place):
    assert place.status == 0, place.err
    assert not ACTING.search(place.err)
    assert "ru\\u009bns" in place.out


COMMANDS = {
    "ls": ("ls", "{runs}"),
    "ls --json": ("ls", "{runs}", "--json"),
    "show": ("show", "{run}"),
    "show --json": ("show", "{run}", "--json"),
    "config show": ("config", "show", "{config}"),
    "config check": ("config", "check", "{config}"),
    "config check --json": ("config", "check", "{config}", "--json"),
    "dry run": ("run", "{config}", "--dry-run"),
    "dry run --json": ("run", "{config}", "--dry-run", "--json"),
    "predict": ("predict", "{run}", "a\ttext", "--task", "{task}", "--choose"),
    "predict --json": ("predict", "{run}", "text", "--task", "{task}", "--choose", "--json"),
    **{
        f"table {table} {form}": ("table", table, "{run}", "--format", form)
        for table in ("methods", "paper-1")
        for form in ("text", "markdown", "csv", "json", "latex", "html")
    },
    "figure 4": ("figure", "4", "{run}"),
    "tasks": ("tasks",),
    "task": ("tasks", "cb"),
    "methods": ("methods",),
    "method": ("methods", "am_lora"),
    "orders": ("orders",),
    "wrong command": ("\x1b[2J",),
    "wrong run": ("show", "\x1b[2J\u202e", "--runs", "{runs}"),
    "wrong setting": ("run", "{config}", "--set", "train.\x9b=1"),
    "wrong task": ("predict", "{run}", "x", "--task", "\x1b]8;;http://evil\x07"),
    "wrong method": ("run", "{config}", "--method", "a\rm\x1b"),
    "wrong place": ("run", "{config}", "--runs", "/proc/runs", "-q"),
    "wrong file": ("predict", "{run}", "--file", "no\x1b[2J\rfile.csv"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_prints_what_would_act(place, name, encoding):
    values = {"runs": place.runs, "run": place.run, "config": place.config, "task": TASKS[0]}
    words = [word.format(**values) for word in COMMANDS[name]]
    status, out, err = amlora(*words, encoding=encoding)
    assert status == (2 if name.startswith("wrong") else 0), err
    assert not ACTING.search(out + err)
    assert "Traceback" not in err
    if name.startswith("wrong"):
        assert (out, err.count("\n")) == ("", 1)
    if "json" in name:
        json.loads(out)


def test_json_keeps_every_letter_of_every_label(place):
    planned = json.loads(amlora("run", place.config, "--dry-run", "--json", encoding="ascii")[1])
    assert [task["options"] for task in planned["tasks"]] == [labels_of(TASKS[0]), []]


def test_a_settings_file_that_is_printed_still_says_the_same(place):
    import tomllib

    printed = amlora("config", "check", place.config, encoding="ascii")[1]
    tasks = tomllib.loads(printed)["stream"]["tasks"]
    assert [task["instruction"] for task in tasks] == ["What? " + NASTY["escape"]] * len(TASKS)


def test_an_answer_to_one_of_a_files_texts_is_one_line(capsys):
    answers = [{"text": "", "answer": answer} for answer in ("a\nb", "c\x1b")]
    print_answers(answers, alone=False, explain=False)
    print_answers(answers[:1], alone=True, explain=False)
    assert capsys.readouterr().out == "a\\nb\nc\\u001b\na\nb\n"


def test_an_argument_that_is_no_text_is_refused_in_one_line():
    done = subprocess.run([*AMLORA, "show", b"caf\xe9"], capture_output=True)
    assert done.returncode == 2
    assert done.stderr == b"amlora: argument 'caf\\udce9': not text in the encoding utf-8.\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("words", "status"), [("orders", 0), ("show absent", 2)])
def test_a_closed_stream_changes_nothing_else(tmp_path, closed, words, status):
    shell = f'exec "$0" -m amlora {words} {closed}'
    done = subprocess.run(
        ["bash", "-c", shell, sys.executable], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    if not status:
        assert done.stderr == ""
        assert bool(done.stdout) == (">&-" not in closed.split())
    else:
        assert done.stdout == ""  # above all, no error goes there where standard error is closed


def test_output_that_is_read_no_further_ends_the_command_quietly():
    shell = '"$0" -m amlora tasks --json | head -1'
    done = subprocess.run(["bash", "-c", shell, sys.executable], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_a_table_loses_no_number_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    names = [f"task-{number}" for number in range(15)]
    record = a_record(names, [[0.125] * 15, [0.5] * 15])
    stream = io.StringIO()
    with redirect_stderr(stream), (bars := Bars()).bars:
        bars.stage_finished(record)
    said = stream.getvalue()
    assert all(name in said for name in names)
    assert (said.count("12.5"), said.count("50.0")) == (15, 16)


def test_errors_that_nobody_reads_do_not_stop_the_command():
    from amlora.cli.terminal import tell

    end, other = os.pipe()
    os.close(end)
    with os.fdopen(other, "w") as stream, redirect_stderr(stream):
        tell("nobody is there")
        tell("nor now")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*AMLORA, "orders"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "amlora: no space left on device.\n")


@pytest.mark.parametrize(
    "variables",
    [{"COLUMNS": "0"}, {"COLUMNS": "20"}, {"COLUMNS": "x"}, {"NO_COLOR": ""}, {"TERM": "dumb"}],
    ids=str,
)
def test_no_terminal_is_too_odd_for_the_bars(variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = io.StringIO()
    with redirect_stderr(stream), (bars := Bars()).bars:
        bars.stage_started(1, 1, "\x1b[2Jtask [red]", 2)
        bars.step(1, 2, {"task": 1.0}, 10.0)
        bars.evaluated(1, 2, "\u202etask")
        bars.note("note \x1b]8;;x\x07")
        bars.warn("[red]warned\r")
        bars.stage_finished(a_record(["a\rb [red]"], [[0.0], [1.0]]))
    said = stream.getvalue()
    assert "[red]warned" in said
    assert not re.search(r"\x1b\]|\x1b\[2J|\u202e|\r[^\x1b\n]", said)


def test_a_faults_traceback_does_nothing_either(capsys):
    try:
        raise ValueError("\x1b[2J")
    except ValueError as error:
        show_fault(ValueError, error, error.__traceback__)
    err = capsys.readouterr().err
    assert err.startswith("Traceback") and err.endswith("ValueError: \\u001b[2J\n")


def test_a_number_of_processes_that_is_none_is_taken_for_one(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "many")
    monkeypatch.setenv("RANK", "")
    assert amlora("orders")[0] == 0
