"""The paper's tasks read from the hub: local repositories in the hub's layout stand for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from amlora.streams import catalogue
from amlora.streams.load import load_stream, load_task, of_hub
from amlora.streams.prompt import build_prompt
from amlora.streams.rows import RawRow, compose
from amlora.streams.settings import StreamSettings
from refused import refusal

datasets = pytest.importorskip("datasets", reason="needs the extra amlora[data]")

DBPEDIA = """Company EducationalInstitution Artist Athlete OfficeHolder MeanOfTransportation
Building NaturalPlace Village Animal Plant Album Film WrittenWork"""
TOPICS = """Society & Culture, Science & Mathematics, Health, Education & Reference,
Computers & Internet, Sports, Business & Finance, Entertainment & Music, Family & Relationships,
Politics & Government"""
NLI = {"premise": "It rains.", "hypothesis": "It is wet."}
NLI_TEXT = "sentence 1: It rains.\nsentence 2: It is wet."
# For each task: a row as the hub has it, its label column and names (None: numbers from 1), the
# row's label, and the reference's sentence and answer.
PLANTED: dict[str, tuple[Any, ...]] = {
    "dbpedia": (
        {"title": "Bulb", "content": " Bulb is a {label}."},
        *("label", DBPEDIA.split(), 5),
        *("Title: Bulb\nText:  Bulb is a {label}.\n", "Mean of Transportation"),
    ),
    "amazon": (
        {"review_title": "Fine", "review_text": "I liked it."},
        *("class_index", None, 4, "Title: Fine\nText: I liked it.\n", "positive"),
    ),
    "yahoo": (
        {"question_title": "Why?", "question_content": "So tell.", "best_answer": "Who knows"},
        *("topic", [topic.strip() for topic in TOPICS.split(",")], 8),
        *("Title: Why?\nQuestion: So tell.\nAnswer: Who knows\n", "Family & Relationships"),
    ),
    "agnews": (
        {"title": "Putin Says", "description": "Two planes."},
        *("label", None, 4, "Title: Putin Says\nText: Two planes.\n", "Science or Technology"),
    ),
    "yelp": (
        {"text": "Slow.\\nBut good."},
        *("label", ["1 star", "2 star", "3 stars", "4 stars", "5 stars"], 1),
        *("Text: Slow.\\nBut good.\n", "negative"),
    ),
    "mnli": (NLI, "label", ["entailment", "neutral", "contradiction"], 1, NLI_TEXT, "neutral"),
    "cb": (NLI, "label", ["entailment", "contradiction", "neutral"], 1, NLI_TEXT, "contradiction"),
    "wic": (
        {"word": "tremor", "sentence1": "She felt a tremor.", "sentence2": "A tremor came."},
        *("label", ["False", "True"], 1),
        *("word: tremor\nShe felt a tremor.\nA tremor came.", "True"),
    ),
    "copa": (
        {"premise": "He fell.", "choice1": "Ice.", "choice2": "Sun.", "question": "cause"},
        *("label", ["choice1", "choice2"], 0),
        'Which sentence is the cause of "He fell."? Choose one between A and B.\nA: Ice.\nB: Sun.',
        "A",
    ),
    "qqp": (
        {"question1": "How?", "question2": "In what way?"},
        *("label", ["not_duplicate", "duplicate"], 1),
        *("first sentence: How?\nsecond sentence: In what way?", "True"),
    ),
    "boolqa": (
        {"question": "is it so", "passage": "Soil -- It is."},
        *("label", ["False", "True"], 0),
        *("question: is it so\npassage: Soil -- It is.", "False"),
    ),
    "rte": (
        {"sentence1": "It rains.", "sentence2": "It is wet."},
        *("label", ["entailment", "not_entailment"], 1, NLI_TEXT, "contradiction"),
    ),
    "imdb": ({"text": "A<br />film."}, "label", ["neg", "pos"], 0, "A<br />film.", "Bad"),
    "sst-2": (
        {"sentence": "a fine film . "},
        *("label", ["negative", "positive"], 1, "Text: a fine film . ", "Good"),
    ),
    "multirc": (
        {"paragraph": "Sound travels.", "question": "Where?", "answer": "In air"},
        *("label", ["False", "True"], 1),
        *("paragraph: Sound travels.\nquestion: Where?\ncandidate answer: In air", "True"),
    ),
}
FILLING = 40  # further train and test rows of each task


def rows_of(name: str, split: str) -> tuple[list[dict[str, Any]], Any]:
    """Return a split's rows, the planted one first, and the features of its columns."""
    planted, column, names, label, _, _ = PLANTED[name]
    numbers = range(len(names)) if names else range(1, 1 + len(catalogue.entries()[name].labels))
    rows: list[dict[str, Any]] = [{**planted, column: label}]
    for i in range(FILLING):
        filled = {key: f"{value} ({split} {i})" for key, value in planted.items()}
        rows.append({**filled, column: numbers[i % len(numbers)]})
    kinds = {key: datasets.Value("string") for key in planted}
    kind = datasets.ClassLabel(names=names) if names else datasets.Value("int64")
    return rows, datasets.Features({**kinds, column: kind})


def write_repository(root: Path, name: str) -> None:
    """Write a task's data set below `root` as its repository on the hub has it."""
    hub = catalogue.entries()[name].hub
    folder = root / hub.id
    below = folder / hub.config if hub.config else folder
    below.mkdir(parents=True, exist_ok=True)
    for split in {hub.train, hub.test}:
        # The planted row is a test row; a text must not be in both.
        rows, features = rows_of(name, split)
        dataset = datasets.Dataset.from_list(rows[split == hub.train :], features=features)
        if hub.config:
            dataset.to_parquet(below / f"{split}-00000-of-00001.parquet")
        elif name == "amazon":
            dataset.to_csv(below / f"{split}.csv", index=False)
        else:
            dataset.to_json(below / f"{split}.jsonl")


def write_card(repository: Path, configs: dict[str, set[str]]) -> None:
    """Write the part of a repository's card that lists its configurations and their splits."""
    listed = [
        {
            "config_name": config,
            "data_files": [{"split": s, "path": f"{config}/{s}-*"} for s in sorted(splits)],
        }
        for config, splits in configs.items()
    ]
    card = json.dumps({"configs": listed})  # JSON is YAML
    (repository / "README.md").write_text(f"---\n{card}\n---\n")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    datasets.disable_progress_bars()
    configs: dict[str, dict[str, set[str]]] = {}
    for name, entry in catalogue.entries().items():
        write_repository(root, name)
        if entry.hub.config:
            splits = {entry.hub.train, entry.hub.test}
            configs.setdefault(entry.hub.id, {})[entry.hub.config] = splits
    for repository, listed in configs.items():
        write_card(root / repository, listed)
    return root


@pytest.fixture(autouse=True)
def in_their_folder(repositories, tmp_path, monkeypatch):
    """The library takes an id for a folder where there is one."""
    monkeypatch.chdir(repositories)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def loaded(repositories, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(repositories)
        cache = tmp_path_factory.mktemp("cache")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(cache))
        return load_stream(StreamSettings(order="4", drop_unlabelled=False))


def test_an_order_without_a_folder_is_read_from_the_hub(loaded):
    stream, _ = loaded
    assert tuple(task.name for task in stream.tasks) == catalogue.orders()["4"]
    for task in stream.tasks:
        entry = catalogue.entries()[task.name]
        assert (task.options, task.category) == (entry.labels, entry.category)
        assert len(task.test) == 1 + FILLING
        assert len(task.train) + len(task.dev) == FILLING


@pytest.mark.parametrize("name", PLANTED)
def test_a_row_of_the_hub_becomes_the_references_sentence(loaded, name):
    [task] = [task for task in loaded[0].tasks if task.name == name]
    [found] = [example for example in task.test if example.row == "test:0"]
    *_, sentence, answer = PLANTED[name]
    assert (found.text, found.label) == (sentence, answer)


def test_dev_rows_are_set_aside_from_train_rows_and_share_no_text_with_test_rows(loaded):
    stream, warnings = loaded
    assert len(warnings) == len(stream.tasks)
    assert all("of the train rows were set aside for dev" in warning for warning in warnings)
    for task in stream.tasks:
        assert not {e.text for e in task.dev} & {e.text for e in (*task.train, *task.test)}


def test_the_prefixes_are_those_of_the_reference_layout():
    settings = StreamSettings(order="4", first_tasks=1, prefix="task+dataset")
    [task] = load_stream(settings)[0].tasks
    before = build_prompt(task, "x", prefix="task+dataset").before
    assert before.startswith("Task:NLI\nDataset:MNLI\nWhat is the logical relationship")


@pytest.mark.parametrize(
    ("content", "answer", "sentence"),
    [
        ("", "Yes.", "Question: Why?\nAnswer: Yes.\n"),
        (None, "Yes.", "Question: Why?\nAnswer: Yes.\n"),
        ("Tell.", "", "Title: Why?\nQuestion: Tell.\n"),
        ("", "", "Question: Why?\n"),
    ],
)
def test_a_question_without_more_text_has_no_title_of_its_own(content, answer, sentence):
    row = {"question_title": "Why?", "question_content": content, "best_answer": answer}
    forms = catalogue.entries()["yahoo"].hub.forms
    [made] = compose([RawRow("row 0", row)], forms, "forms")
    assert made.values["text"] == sentence


def test_as_many_rows_are_read_as_the_reference_has_and_are_the_same_each_time(
    tmp_path, monkeypatch
):
    """CB has 250 train rows there; here are 400, of which 278 are read: 250 and a ninth for dev."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "aps" / "super_glue" / "cb"
    folder.mkdir(parents=True)
    names = datasets.ClassLabel(names=["entailment", "contradiction", "neutral"])
    kinds = {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string")}
    for split, count in (("train", 400), ("validation", 70)):
        rows = [
            {"premise": f"{split} {i}.", "hypothesis": "Is it?", "label": i % 3}
            for i in range(count)
        ]
        dataset = datasets.Dataset.from_list(rows, datasets.Features({**kinds, "label": names}))
        dataset.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    write_card(folder.parent, {"cb": {"train", "validation"}})
    task, _ = load_task(of_hub(catalogue.entries()["cb"]), StreamSettings())
    again, _ = load_task(of_hub(catalogue.entries()["cb"]), StreamSettings())
    assert task == again
    assert len(task.train) + len(task.dev) == 278
    assert len(task.test) == 56
    for example in (*task.train, *task.dev, *task.test):
        split, number = example.row.split(":")
        there = "validation" if split == "test" else split
        assert example.text.startswith(f"sentence 1: {there} {number}.")


def test_a_repository_that_is_not_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    said = refusal(load_stream, StreamSettings(order="1"))
    assert said.startswith("stream.order '1', dbpedia.hub: ")
