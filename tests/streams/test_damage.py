"""Whatever is in a file, its reader gives rows or one line that says what is wrong."""

import io
import json
import random

import pytest

from amlora.errors import InputError
from amlora.streams.read import SUFFIXES, parse_rows
from amlora.streams.rows import to_examples

WHOLE = {
    ".jsonl": b'{"text": "a\\ud83d\\ude00", "label": true}\n{"text": "b", "label": -1}\n',
    ".json": b'[{"text": "a", "label": 1},\n {"text": "b", "label": null}]',
    ".csv": b'sep=;\r\ntext;label;\r\n"a;""x""";b;\r\n, "c";d;\r\n',
    ".tsv": b'text\tlabel\na\tb\n"c\nd"\te\n',
}
PIECES = [
    *(b'"', b",", b";", b"\t", b"\n", b"\r", b"\0", b"\xff", b"{", b"}", b"[", b"]", b":", b""),
    *(b"\\ud800", b"9" * 5000, b"[" * 3000, b"NaN", b"1e999", b"sep=,\n", b"\xef\xbb\xbf"),
    "\u200b".encode(),
]


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """A file of each kind; one of Parquet where the library is there."""
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    noted = {"features": {"label": {"_type": "ClassLabel", "names": ["no", "yes"]}}}
    table = arrow.table({"text": ["a", "b,c", "d"], "label": [0, 1, 0], "n": [1.5, None, 2.0]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": noted})})
    parquet.write_table(table, made := io.BytesIO())
    return {**WHOLE, ".parquet": made.getvalue()}


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Put pieces or bytes into a file, over what is there or between it."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(data) + 1)
        piece = draw.choice(PIECES) if draw.random() < 0.7 else bytes([draw.randrange(256)])
        data = data[:at] + piece + data[at + draw.choice([0, 0, 1, 2, 8]) :]
    return data


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 1500), pytest.param(1, 60_000, marks=pytest.mark.slow)]
)
def test_damaged_files_give_rows_or_one_line(whole, seed, count):
    draw = random.Random(seed)
    refused = 0
    for number in range(count):
        kind = SUFFIXES[number % len(SUFFIXES)]
        try:
            records = parse_rows(damaged(whole[kind], draw), kind, "FILE")
            rows, _ = to_examples(records, "train", ("text", "label"), "task")
            "".join(row.text + row.label for row in rows).encode()
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
            str(error).encode()
    assert count / 4 < refused < count
