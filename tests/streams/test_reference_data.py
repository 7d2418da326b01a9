"""The paper's 15 tasks on real files; AMLORA_DATA_ROOT names the folder in the reference layout."""

import os
import re
from pathlib import Path

import pytest

from amlora.streams import catalogue
from amlora.streams.load import load_stream
from amlora.streams.prompt import build_prompt
from amlora.streams.rows import parts
from amlora.streams.settings import StreamSettings
from amlora.streams.survey import survey

ROOT = os.environ.get("AMLORA_DATA_ROOT", "")
pytestmark = pytest.mark.skipif(not ROOT, reason="AMLORA_DATA_ROOT names no reference data")


def test_an_order_of_all_tasks_loads_with_every_label_among_the_options():
    stream, _ = load_stream(StreamSettings(order="6", data_root=ROOT))
    assert tuple(task.name for task in stream.tasks) == catalogue.orders()["6"]
    for task in stream.tasks:
        assert {example.label for example in task.test} <= set(task.options)
        assert set(task.options) == set(catalogue.entries()[task.name].labels)


def test_the_sentences_hold_what_their_instruction_speaks_of():
    stream, _ = load_stream(StreamSettings(order="4", data_root=ROOT, test_per_class=2))
    parts = {"mnli": "sentence 2:", "qqp": "second sentence:", "boolqa": "passage:"}
    for task in stream.tasks:
        prompt = build_prompt(task, task.test[0].text)
        assert parts.get(task.name, "") in prompt.text
        assert prompt.full.endswith("\nAnswer:")


def test_the_forms_of_the_hubs_rows_are_those_of_the_reference():
    """Not of Yahoo's: the public copies of its rows differ in form."""
    stream, _ = load_stream(StreamSettings(order="6", data_root=ROOT))
    for task in stream.tasks:
        forms = [
            "".join(
                re.escape(text) + ("" if name is None else ".*") for text, name in parts(form, "")
            )
            for form in catalogue.entries()[task.name].hub.forms
        ]
        odd = [
            example.text
            for example in (*task.train, *task.test)
            if not any(re.fullmatch(form, example.text, re.DOTALL) for form in forms)
        ]
        assert task.name == "yahoo" or odd == []


def test_nothing_is_wrong_with_the_tasks_at_hand():
    found = survey(Path(ROOT))
    assert [finding.task for finding in found if not finding.there] == []
    assert [problem for finding in found for problem in finding.problems] == []
