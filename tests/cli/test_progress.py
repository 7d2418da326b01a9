"""The plain display: what each event prints."""

import io
import sys

from amlora.cli.progress import PlainLines, display
from stored import a_record

RECORD = a_record(["film", "news"], [[0.25, 0.0], [0.75, 0.25]])


def printed(capsys, act, *, every: float = 0.0) -> list[str]:
    act(PlainLines(every=every))
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()


def test_a_step_names_stage_step_losses_speed_and_time_left(capsys):
    def act(progress):
        progress.stage_started(2, 4, "news", 3)
        progress.step(1, 3, {"task": 1.5, "sparsity": 0.25}, 812.4)
        progress.step(2, 3, {"task": 1.0}, 800.0)
        progress.step(3, 3, {"task": 0.5}, 800.0)

    first, *steps = printed(capsys, act)
    assert first == "[2/4] news: 3 steps"
    assert steps[0] == ("[2/4] news: step 1/3, loss 1.75 (task 1.5, sparsity 0.25), 812 tokens/s")
    assert steps[1] == "[2/4] news: step 2/3, loss 1, 800 tokens/s, 0.0 s left"
    assert steps[2] == "[2/4] news: step 3/3, loss 0.5, 800 tokens/s"


def test_between_two_lines_time_must_pass_but_the_last_step_is_always_told(capsys):
    def act(progress):
        progress.stage_started(1, 1, "film", 3)
        for step in (1, 2, 3):
            progress.step(step, 3, {"task": 1.0}, 1.0)
            progress.evaluated(step, 3, "film")

    lines = printed(capsys, act, every=60.0)
    assert lines == ["[1/1] film: 3 steps", "[1/1] film: step 3/3, loss 1, 1 tokens/s"]


def test_a_stage_ends_with_the_accuracy_matrix(capsys):
    lines = printed(capsys, lambda progress: progress.stage_finished(RECORD))
    assert lines[0].split() == ["%", "film", "news", "mean"]
    assert lines[2].split()[-3:-1] == ["75.0", "25.0"]


def test_notes_and_warnings_are_lines(capsys):
    def act(progress):
        progress.note("goes on")
        progress.warn("threads differ")

    assert printed(capsys, act) == ["goes on", "warning: threads differ"]


def test_a_line_said_while_another_is_printed_comes_after_it(monkeypatch):
    """As a signal's handler does; Python refuses to print within a print."""
    progress = PlainLines(every=0.0)

    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            if text == "first":
                progress.note("second")
            return super().write(text)

    monkeypatch.setattr(sys, "stderr", stream := Interrupting())
    progress.note("first")
    assert stream.getvalue() == "first\nsecond\n"


def test_without_a_terminal_the_lines_are_plain(capsys):
    with display(verbose=False) as shown:
        assert isinstance(shown, PlainLines)
