"""What `amlora show` says of texts and questions of no task, and of texts that were cut."""

import pytest

from amlora import files
from command import said
from report.conftest import AM_LORA, general_of, record_of


def shown(folder, **keys):
    """Write a record with some more keys, and return the lines that `amlora show` prints of it."""
    record = record_of("am_lora", AM_LORA) | keys
    (folder / "rows.jsonl").write_bytes(b"")
    digests = {
        "rows_digest": files.sha256_bytes(b""),
        "settings_digest": files.digest(record["settings"]),
    }
    files.write_sealed(folder / "record.json", record | digests)
    return [" ".join(line.split()) for line in said("show", folder).splitlines()]


@pytest.mark.parametrize(
    ("rejected", "told"), [(None, ""), (0.5, ", 50.0 % sent to the base model")]
)
def test_general_ability_is_told_before_learning_and_at_the_end(tmp_path, rejected, told):
    lines = shown(tmp_path, general=general_of(3.5, 6, rejected))
    at = lines.index("texts and questions of no task")
    assert lines[at + 1 : at + 3] == [
        "before learning loss 3.250 nats a token, 1 of 24 questions right, 12 begun right",
        f"at the end loss 3.500 nats a token, 6 of 24 questions right, 8 begun right{told}",
    ]


def test_texts_that_were_shortened_are_told(tmp_path):
    none = {"shortened": 0, "characters": 0, "unknown": 0, "unwritable": 0}
    record = record_of("am_lora", AM_LORA)
    record["settings"]["model"] = {"max_tokens": 96}
    first = record["tasks"][0] | {"lost": {"train": none | {"unknown": 2}, "test": none}}
    second = record["tasks"][1] | {
        "lost": {"train": none, "test": none | {"shortened": 3, "characters": 712}}
    }
    tasks = [first, second, *record["tasks"][2:]]  # an older version did not count the others
    lines = shown(tmp_path, tasks=tasks, settings=record["settings"])
    at = lines.index("texts")
    assert lines[at + 1 : at + 4] == [
        "sms: 2 of 160 train prompts have characters that the tokenizer does not know.",
        "topic: 3 of 60 test texts are longer than model.max_tokens = 96 allows and were"
        " shortened, by 712 characters at most.",
        "",
    ]


def test_parts_that_did_next_to_nothing_are_told_below_the_stages(tmp_path):
    stages = record_of("ewc", AM_LORA)["stages"]
    stages[1] |= {"terms": {"task": 1.0, "ewc": 0.0}, "remarks": ["the term 'ewc' was 0 %."]}
    lines = shown(tmp_path, stages=stages)
    at = lines.index("stages")
    assert lines[at + 5] == "topic: the term 'ewc' was 0 %."
