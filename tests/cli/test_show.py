"""What `amlora show` says of texts and questions of no task."""

import pytest

from amlora import files
from amlora.cli import main as command
from report.conftest import AM_LORA, general_of, record_of


@pytest.mark.parametrize(
    ("rejected", "told"), [(None, ""), (0.5, ", 50.0 % sent to the base model")]
)
def test_general_ability_is_told_before_learning_and_at_the_end(tmp_path, capsys, rejected, told):
    record = record_of("am_lora", AM_LORA)
    rows = files.sha256_bytes(b"")
    (tmp_path / "rows.jsonl").write_bytes(b"")
    digest = files.digest(record["settings"])
    record |= {"rows_digest": rows, "settings_digest": digest}
    files.write_sealed(
        tmp_path / "record.json", {**record, "general": general_of(3.5, 6, rejected)}
    )
    with pytest.raises(SystemExit) as left:
        command.main(["show", str(tmp_path)])
    assert not left.value.code
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    at = lines.index("texts and questions of no task")
    assert lines[at + 1 : at + 3] == [
        "before learning loss 3.250 nats a token, 1 of 24 questions right, 12 begun right",
        f"at the end loss 3.500 nats a token, 6 of 24 questions right, 8 begun right{told}",
    ]
