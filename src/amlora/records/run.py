"""One run as it is stored, and its folder: every byte that is used fits the record's digests.

The record carries a digest of itself and of the files that it speaks of. A mismatch, a missing
file, and one that the record does not speak of are InputErrors that name the file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from amlora import files
from amlora.errors import InputError
from amlora.formats import parse_json, typed, unicode
from amlora.records.beside import Attention, Decision, Measured
from amlora.records.schema import Record

RECORD, CONFIG, MEASURED = "record.json", "config.toml", "measured.json"
ROWS, ATTENTION = "rows.jsonl", "attention.json"
SKILLS = "skills"
MANIFEST = f"{SKILLS}/versions/0001/manifest.json"  # vouches for all skills that the run wrote
MOST = 4 << 30  # bytes of the rows of a run


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A finished run, verified.

    Attributes:
        path: its folder; of a packed run the pack's folder with the run's name behind it.
        texts: what the method left for a reader, by the file's name.
        load_rows: gives the bytes of rows.jsonl, verified each time; b"" where there are none.
    """

    path: Path
    record: Record
    measured: Measured
    attention: Attention | None
    texts: Mapping[str, str]
    load_rows: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name

    @cached_property
    def rows(self) -> tuple[Decision, ...]:
        """How every row was decided, evaluation after evaluation."""
        place = self.path / ROWS
        lines = enumerate(self.load_rows().splitlines(), 1)
        values = [parse_json(f"{place}: line {number}", line) for number, line in lines]
        return typed(place, values, tuple[Decision, ...])


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run's; one that cannot be looked into may be."""
    try:
        return any(files.exists(folder / name) for name in (CONFIG, RECORD))
    except OSError:
        return True


def finished(folder: Path) -> bool:
    """Return whether a run has its record, which is written last."""
    return files.exists(folder / RECORD)


def read_folder(folder: Path) -> StoredRun:
    """Read the folder of a finished run.

    Raises:
        InputError: not a run, not finished, of another format, altered, or not whole.
    """
    if not is_run(folder):
        raise InputError(f"{folder}: not a run folder; it has neither {CONFIG} nor {RECORD}.")
    if not finished(folder):
        raise InputError(f"{folder}: not finished; the command that started it resumes it.")
    record = as_record(folder / RECORD, files.read_sealed(folder / RECORD))
    check_files(folder, record)
    measured, attention = folder / MEASURED, folder / ATTENTION
    return StoredRun(
        path=folder,
        record=record,
        measured=typed(measured, files.read_json(measured), Measured)
        if files.exists(measured)
        else Measured(),
        attention=None
        if record.attention_digest is None
        else typed(
            attention,
            parse_json(attention, whole(attention, record.attention_digest, files.MOST)),
            Attention,
        ),
        texts={
            name: unicode(folder / name, whole(folder / name, digest, files.MOST))
            for name, digest in record.texts.items()
        },
        load_rows=lambda: whole(folder / ROWS, record.rows_digest, MOST),
    )


def as_record(place: Path | str, value: dict[str, Any]) -> Record:
    """Check the contents of a record.json whose seal is whole."""
    record = typed(place, value, Record)
    if files.digest(record.settings) != record.settings_digest:
        raise InputError(f"{place}: altered; its settings do not have the digest that it states.")
    return record


def whole(path: Path, expected: str | None, most: int) -> bytes:
    """Return the bytes of a file that a record speaks of; b"" of one that it does not."""
    if expected is None:
        return b""
    data = files.read_bytes(path, most=most)
    check_digest(path, files.sha256_bytes(data), expected)
    return data


def check_digest(place: Path | str, found: str, expected: str) -> None:
    """Refuse bytes that are not those that a record speaks of."""
    if found != expected:
        raise InputError(f"{place}: altered; its sha256 is not the one in {RECORD}.")


def check_files(folder: Path, record: Record, *, of_skills: bool = False) -> None:
    """Refuse what lies beside a record and is not what it speaks of.

    Args:
        folder: of the run.
        record: as read from it.
        of_skills: results may be missing: the folder was made to be loaded.

    Raises:
        InputError: names the file that is altered, missing, or of another run.
    """
    results = {ROWS: record.rows_digest, ATTENTION: record.attention_digest, **record.texts}
    for name, digest in results.items():
        if digest is not None and (not of_skills or files.exists(folder / name)):
            check_file(folder / name, digest)
    if record.attention_digest is None and files.exists(folder / ATTENTION):
        raise InputError(f"{folder / ATTENTION}: the run's record does not speak of it.")
    if record.config_digest is not None and files.exists(folder / CONFIG):
        check_file(folder / CONFIG, record.config_digest)
    if files.exists(folder / SKILLS):
        if record.skills_digest is None:
            raise InputError(f"{folder / SKILLS}: the run's record does not speak of it.")
        check_file(folder / MANIFEST, record.skills_digest)


def check_skills(folder: Path) -> None:
    """Refuse a run's skills that its record does not speak of."""
    path = folder / RECORD
    check_files(folder, as_record(path, files.read_sealed(path)), of_skills=True)


def check_file(path: Path, expected: str) -> None:
    """Refuse a file of a run whose bytes are not those that the record speaks of."""
    try:
        found = files.sha256_file(path, most=MOST)
    except FileNotFoundError:
        raise InputError(f"{path}: missing; the run's record speaks of it.") from None
    check_digest(path, found, expected)
