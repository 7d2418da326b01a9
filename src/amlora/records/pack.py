"""Many runs in a few files: a pack keeps records, measurements, decisions, attention and choices.

    runs.jsonl         a run a line: its folder's name, sealed record, measurements, texts
    rows.parquet       every decision
    attention.parquet  every score, where there is any
    choices.jsonl      a grid's choice a line, sealed, where there is any

Nothing of a run is lost but its skills and config.toml, whose values are the record's settings: the
bytes of rows.jsonl and attention.json are made again and must have the digests in the record.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amlora import files
from amlora.errors import InputError
from amlora.formats import DIGEST, json_bytes, parse_json, sealed, sha256_bytes, typed
from amlora.records.beside import Attention, Choice, Measured
from amlora.records.run import ATTENTION, ROWS, StoredRun, as_record, check_digest

if TYPE_CHECKING:
    from pyarrow import DataType, Table

RUNS, CHOICES = "runs.jsonl", "choices.jsonl"
TABLES = {ROWS: "rows.parquet", ATTENTION: "attention.parquet"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")  # of a run's folder
MOST = 1 << 30  # bytes of a file, and of what a table becomes in memory
ROUTED = ("stages", "posterior", "distance")  # absent from rows without a route
MEASURES = ("mean", "top90", "effective", "picked")  # of attention, by task and module


class Pack:
    """A pack, of which runs are read one by one.

    Args:
        path: its folder, for names and errors.
        data: its files by name, where they are not yet in the folder.
    """

    def __init__(self, path: Path, data: Mapping[str, bytes] | None = None) -> None:
        self.path = path
        self.data = data

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file; None where there is none."""
        if self.data is not None:
            return self.data.get(name)
        try:
            return files.read_bytes(self.path / name, most=MOST)
        except FileNotFoundError:
            return None

    @cached_property
    def lines(self) -> dict[str, bytes]:
        """The line of each run."""
        found: dict[str, bytes] = {}
        for number, line in enumerate((self.read(RUNS) or b"").splitlines(), 1):
            place = f"{self.path / RUNS}: line {number}"
            value = parse_json(place, line)
            name = value.get("run") if isinstance(value, dict) else None
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise InputError(f"{place}: it names no run.")
            if name in found:
                raise InputError(f"{place}: {name} is there twice.")
            found[name] = line
        return found

    @cached_property
    def tables(self) -> dict[str, "dict[str, Table]"]:
        """The rows of each table by run."""
        return {name: self.parts(file) for name, file in TABLES.items()}

    def parts(self, file: str) -> "dict[str, Table]":
        """Return the part of a table that is each run's; a run's rows stand together."""
        data = self.read(file)
        if data is None:
            return {}
        table = parse_table(self.path / file, data)
        names = table.column("run").to_pylist()
        starts = [at for at, name in enumerate(names) if at == 0 or name != names[at - 1]]
        return {
            names[start]: table.slice(start, stop - start).drop_columns("run")
            for start, stop in zip(starts, [*starts[1:], len(names)], strict=True)
        }

    def run(self, name: str) -> StoredRun:
        """Read a run after checking all of it.

        Raises:
            InputError: no such run, or something of it is altered, missing or cannot be.
        """
        path = self.path / name
        if name not in self.lines:
            raise InputError(f"{path}: no such run in the pack.")
        value = unsealed(str(path), self.lines[name])
        record = as_record(path, checked_seal(str(path), value.get("record")))
        texts = value.get("texts")
        if not isinstance(texts, dict) or record.texts != {
            each: sha256_bytes(str(text).encode()) for each, text in texts.items()
        }:
            raise InputError(f"{path}: its texts are not those that its record speaks of.")

        def rows() -> bytes:
            data = b"".join(row_line(row) for row in self.values(ROWS, name))
            check_digest(f"{path}: {TABLES[ROWS]}", sha256_bytes(data), str(record.rows_digest))
            return data

        rows()
        attention, place = None, f"{path}: {TABLES[ATTENTION]}"
        if record.attention_digest is not None:
            plain = attention_of(self.values(ATTENTION, name))
            check_digest(place, sha256_bytes(json_bytes(plain)), record.attention_digest)
            attention = typed(place, plain, Attention)
        elif name in self.tables[ATTENTION]:
            raise InputError(f"{path}: its record does not speak of its {TABLES[ATTENTION]}.")
        return StoredRun(
            path=path,
            record=record,
            measured=typed(path, value.get("measured"), Measured),
            attention=attention,
            texts=texts,
            load_rows=rows,
        )

    def values(self, table: str, run: str) -> list[dict[str, Any]]:
        """Return a run's rows of a table as plain values."""
        part = self.tables[table].get(run)
        return [] if part is None else part.to_pylist(maps_as_pydicts="lossy")

    def choices(self) -> list[Choice]:
        """Return the choices of grids."""
        place = self.path / CHOICES
        return [
            typed(at := f"{place}: line {number}", unsealed(at, line), Choice)
            for number, line in enumerate((self.read(CHOICES) or b"").splitlines(), 1)
        ]


def is_pack(folder: Path) -> bool:
    """Return whether a folder is a pack."""
    return files.exists(folder / RUNS)


def unsealed(place: str, line: bytes) -> dict[str, Any]:
    """Return a sealed line's value.

    Raises:
        InputError: it is not byte for byte what was written.
    """
    value = checked_seal(place, parse_json(place, line))
    if files.line(value).encode() != line:
        raise InputError(f"{place}: altered; it is not written as a pack's lines are.")
    return value


def checked_seal(place: str, value: object) -> dict[str, Any]:
    """Return a sealed value after checking its digest."""
    if not isinstance(value, dict) or DIGEST not in value:
        raise InputError(f"{place}: altered or damaged; it lacks {DIGEST!r}.")
    if sealed({key: each for key, each in value.items() if key != DIGEST}) != value:
        raise InputError(f"{place}: altered; it does not have the digest that it states.")
    return value


def row_line(row: Mapping[str, Any]) -> bytes:
    """Return a row of the table as the line that it was in rows.jsonl."""
    value = {name: each for name, each in row.items() if name not in ROUTED or each is not None}
    try:
        return f"{files.line(value)}\n".encode()
    except ValueError:  # not finite
        return b""


def attention_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the rows of a run's attention as the value of its attention.json."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    by_task = [[row for row in rows if row["task"] == task] for task in tasks]
    return {
        "modules": [row["module"] for row in by_task[0]] if rows else [],
        "loras": rows[0]["loras"] if rows else [],
        "tasks": tasks,
        **{name: [[row[name] for row in of] for of in by_task] for name in MEASURES},
    }


def parse_table(place: Path, data: bytes) -> "Table":
    """Return a table of a pack.

    Raises:
        InputError: not Parquet, too large, or with other columns.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(data))
        groups = range(file.metadata.num_row_groups)
        if sum(file.metadata.row_group(each).total_byte_size for each in groups) > MOST:
            raise InputError(f"{place}: more than {MOST:,} bytes, the most that are read of it.")
        table = file.read()
        table.validate(full=True)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        said = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"{place}: not a whole Parquet file: {said}.") from None
    numbers = pyarrow.float32(), pyarrow.float64()
    if not any(table.schema.equals(schema(place.name, each)) for each in numbers):
        raise InputError(f"{place}: its columns are not those of a pack.")
    return table


def schema(file: str, number: "DataType") -> Any:
    """Return the columns of a table, its fractions of one type."""
    import pyarrow as pa

    text, named = pa.dictionary(pa.int32(), pa.string()), pa.map_(pa.string(), number)
    if file == TABLES[ROWS]:
        columns = {
            **{"run": text, "after": pa.int32(), "phase": text, "task": text, "row": pa.string()},
            **{"hit": pa.bool_(), "how": text, "answer": pa.string(), "gold": text},
            **{"stages": named, "posterior": named, "distance": number},
        }
    else:
        columns = {
            **{"run": text, "task": text, "module": text, "loras": pa.list_(pa.string())},
            **{"mean": pa.list_(number), "top90": number, "effective": number, "picked": number},
        }
    return pa.schema(list(columns.items()))


def decision_rows(run: StoredRun) -> Iterator[dict[str, Any]]:
    """Give a run's decisions; what is absent from a row is null in the table."""
    for row in run.rows:
        plain = row.plain()
        named = {name: [*plain[name].items()] for name in ROUTED[:2] if name in plain}
        yield {"run": run.name, **plain, **named}


def attention_rows(run: StoredRun) -> Iterator[dict[str, Any]]:
    """Give a run's attention, a row for each task and module."""
    if (found := run.attention) is None:
        return
    for i, task in enumerate(found.tasks):
        for j, module in enumerate(found.modules):
            where = {"run": run.name, "task": task, "module": module, "loras": found.loras}
            yield where | {name: getattr(found, name)[i][j] for name in MEASURES}


def table_bytes(file: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a Parquet file with its fractions in 32 bits where nothing is lost by that."""
    import pyarrow
    from pyarrow import parquet

    wide = pyarrow.Table.from_pylist(list(rows), schema(file, pyarrow.float64()))
    narrow = wide.cast(schema(file, pyarrow.float32()), safe=False)
    table = narrow if narrow.cast(wide.schema).equals(wide) else wide
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", compression_level=19)
    return sink.getvalue().to_pybytes()


def pack_bytes(runs: Sequence[StoredRun], choices: Sequence[Choice]) -> dict[str, bytes]:
    """Return the files of a pack by name."""
    lines = [
        {
            "run": run.name,
            "record": sealed(run.record.model_dump(mode="json")),
            "measured": run.measured.model_dump(mode="json"),
            "texts": dict(run.texts),
        }
        for run in runs
    ]
    found = {
        TABLES[ROWS]: [row for run in runs for row in decision_rows(run)],
        TABLES[ATTENTION]: [row for run in runs for row in attention_rows(run)],
    }
    packed = {file: table_bytes(file, rows) for file, rows in found.items() if rows}
    if choices:
        packed[CHOICES] = joined(choice.model_dump(mode="json") for choice in choices)
    return {**packed, RUNS: joined(lines)}


def joined(values: Iterable[Mapping[str, Any]]) -> bytes:
    """Return values as sealed lines."""
    return "".join(f"{files.line(sealed(value))}\n" for value in values).encode()


def write_pack(runs: Sequence[StoredRun], choices: Sequence[Choice], study: Path) -> None:
    """Write a pack and check that every run of it reads as it was.

    Args:
        runs: with different names.
        choices: of the grids that these were chosen by.
        study: the folder, made if missing; files of an older pack in it are replaced.

    Raises:
        InputError: a run that a pack cannot keep as it is.
    """
    packed = pack_bytes(runs, choices)
    again = Pack(study, packed)
    for run in runs:
        kept = again.run(run.name)
        pairs = [(each.record, each.measured, each.attention, each.texts) for each in (kept, run)]
        if pairs[0] != pairs[1] or kept.load_rows() != run.load_rows():
            raise InputError(f"{run.path}: a pack cannot keep it as it is.")
    files.make_folder(study)
    for name in (RUNS, *TABLES.values(), CHOICES):  # first what makes it a pack
        files.discard(study / name)
    for name, data in packed.items():
        files.write_bytes(study / name, data)
