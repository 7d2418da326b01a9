"""Packs: what goes in comes out, and nothing altered is read."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

import amlora
from amlora import files
from amlora.cli.app import run as command
from amlora.errors import InputError
from amlora.formats import sealed
from amlora.records.beside import Candidate, Choice
from amlora.records.pack import Pack
from amlora.records.store import find_run, find_runs, list_runs, read_choices, read_run, read_runs
from figure_records import attention, write_run
from paired_runs import change
from paired_runs import write_run as write_pair

ROUTED = '{"after": 0, "answer": "yes", "distance": 0.1, "gold": "yes", "hit": true, "how": "pass"'
ROUTED += ', "phase": "learned", "posterior": {"a": 0.3}, "row": "x", "stages": {"a": 1.0}'
ROUTED += ', "task": "a"}\n'


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Runs with decisions, with attention, with routes and with a text for a reader."""
    store = tmp_path / "runs"
    write_pair(store, "own", {"a": "110", "b": "10"})
    write_run(store, scores=attention(own=0.4, picked=None))
    folder = write_pair(store, "lfpt5", {"a": "110", "b": "10"})
    (folder / "pseudo.jsonl").write_text("made up\n")
    lines = (folder / "rows.jsonl").read_text() + ROUTED
    (folder / "rows.jsonl").write_text(lines)
    digest = files.sha256_file(folder / "pseudo.jsonl")
    rows = files.sha256_file(folder / "rows.jsonl")
    change(folder, texts={"pseudo.jsonl": digest}, rows_digest=rows)
    return store


@pytest.fixture
def pack(store: Path, tmp_path: Path) -> Path:
    assert command(["pack", str(store), str(tmp_path / "study")]) == 0
    return tmp_path / "study"


def test_a_packed_run_is_the_run(store: Path, pack: Path):
    kept, were = read_runs([str(pack)]), read_runs([str(store)])
    assert [run.name for run in kept] == [run.name for run in were]
    for one, other in zip(kept, were, strict=True):
        assert (one.record, one.measured) == (other.record, other.measured)
        assert (one.attention, one.texts) == (other.attention, other.texts)
        assert one.load_rows() == other.load_rows() and one.rows == other.rows
    assert sorted(file.name for file in pack.iterdir()) == [
        *("attention.parquet", "rows.parquet", "runs.jsonl"),
    ]


@pytest.mark.parametrize("table", ["runs", "scores", "rows", "attention"])
def test_data_frames_of_a_pack_are_those_of_its_runs(store: Path, pack: Path, table: str):
    assert amlora.results(pack, table).equals(amlora.results(store, table))


def test_the_same_runs_give_the_same_bytes_and_a_pack_packs_again(pack: Path, tmp_path: Path):
    assert command(["pack", str(pack), str(tmp_path / "again")]) == 0
    for file in pack.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_a_packed_run_is_found_by_path_name_and_start(pack: Path):
    (name,) = (run.name for run in read_runs([str(pack)]) if run.record.method == "own")
    for wanted in (str(pack / name), name, "own"):
        assert read_run(find_run(wanted, pack)).name == name
    assert find_runs([str(pack)], None) == [pack / run for run in Pack(pack).lines]
    assert find_runs([str(pack / "own-*"), str(pack / "own")], None) == [pack / name]
    with pytest.raises(InputError, match="no such run in"):
        find_run("other", pack)


@pytest.mark.parametrize("words", [["show", "own", "--runs"], ["ls"]])
def test_commands_read_packs(words: list[str], pack: Path, capsys):
    assert command([*words, str(pack)]) == 0
    assert "own" in capsys.readouterr().out


def test_choices_are_kept(store: Path, tmp_path: Path):
    choice = Choice(
        **{"grid": "g", "label": "own", "method": "own", "rule": "best", "task": "a"},
        **{"task_digest": "d", "model": "m", "rate": 1e-3},
        candidates=(Candidate(rate=1e-3, run="own", score=0.5, loss=0.1),),
    )
    folder = store / "grids" / "g" / "choices"
    folder.mkdir(parents=True)
    files.write_sealed(folder / "own.json", choice.model_dump(mode="json"))
    assert command(["pack", str(store), str(tmp_path / "study")]) == 0
    assert read_choices(tmp_path / "study") == read_choices(store) == [choice]


def test_a_pack_is_not_replaced_unasked(store: Path, pack: Path, capsys):
    assert command(["pack", str(store), str(pack)]) == 2
    assert "--force" in capsys.readouterr().err
    assert command(["pack", str(store), str(pack), "--force"]) == 0


def relined(pack: Path, change: Any, *, seal: bool = True) -> None:
    """Change the value of a pack's first line."""
    first, *rest = (pack / "runs.jsonl").read_bytes().splitlines(keepends=True)
    value = json.loads(first)
    del value["digest"]
    change(value)
    line = files.line(sealed(value) if seal else {**value, "digest": "0" * 64})
    (pack / "runs.jsonl").write_bytes(f"{line}\n".encode() + b"".join(rest))


def resealed(record: dict[str, Any], **values: Any) -> dict[str, Any]:
    return sealed({**{key: each for key, each in record.items() if key != "digest"}, **values})


@pytest.mark.parametrize(
    ("change", "seal", "said"),
    [
        (lambda value: value["measured"].update(finished="now"), False, "does not have the digest"),
        (lambda value: value["record"].update(seed=7), True, "does not have the digest"),
        (lambda value: value.update(texts={"pseudo.jsonl": "other"}), True, "its texts are not"),
        (
            lambda value: value.update(record=resealed(value["record"], rows_digest="0" * 64)),
            *(True, "rows.parquet: altered"),
        ),
        (
            lambda value: value.update(record=resealed(value["record"], R=[[2.0] * 3])),
            *(True, "R[0][0] must be at least 0"),
        ),
        (lambda value: value.update(run="../../etc"), True, "it names no run"),
        (lambda value: value.update(run="\x1b[31m"), True, "it names no run"),
    ],
)
def test_what_was_altered_is_refused_in_one_line(pack: Path, change, seal: bool, said: str):
    relined(pack, change, seal=seal)
    with pytest.raises(InputError) as caught:
        read_runs([str(pack)])
    assert str(caught.value).startswith(str(pack)) and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_altered_run_is_left_out_and_named_and_the_others_are_read(pack: Path):
    relined(pack, lambda value: value["record"].update(seed=7))
    said: list[str] = []
    assert len(read_runs([str(pack)], None, said.append)) == 2
    assert len(said) == 1 and said[0].startswith(str(pack / "am_lora"))
    damaged = [run for run in list_runs(pack) if run.problem]
    assert len(damaged) == 1


@pytest.mark.parametrize("file", ["rows.parquet", "attention.parquet"])
def test_a_table_that_is_missing_is_missed(pack: Path, file: str):
    (pack / file).unlink()
    with pytest.raises(InputError, match=f"{file}: altered"):
        read_runs([str(pack)])


@pytest.mark.parametrize("file", ["rows.parquet", "attention.parquet", "runs.jsonl"])
def test_any_damage_is_refused_in_one_line_or_changes_nothing(store: Path, pack: Path, file: str):
    whole, were = (pack / file).read_bytes(), read_runs([str(store)])
    generator = random.Random(0)
    for _ in range(30):
        data = bytearray(whole)
        for _ in range(generator.choice((1, 1, 4))):
            data[generator.randrange(len(data))] = generator.randrange(256)
        cut = generator.choice((len(data), len(data), generator.randrange(len(data))))
        (pack / file).write_bytes(bytes(data[:cut]))
        try:
            found = read_runs([str(pack)])
        except InputError as error:
            assert str(error).startswith(str(pack)) and "\n" not in str(error)
            continue
        for run in found:
            (same,) = (each for each in were if each.name == run.name)
            assert (run.record, run.rows, run.attention) == (
                *(same.record, same.rows, same.attention),
            )


@pytest.mark.parametrize("file", ["rows.parquet", "runs.jsonl"])
def test_a_pipe_or_a_link_in_a_pack_is_refused(pack: Path, file: str):
    (pack / file).rename(pack / "moved")
    (pack / file).symlink_to(pack / "moved")
    with pytest.raises(InputError, match=f"{file}: a link"):
        read_runs([str(pack)])
