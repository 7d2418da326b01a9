"""A small file of texts and questions of no task."""

import json
from pathlib import Path

PASSAGES = [
    ("the film is good.", "the story is very good too."),
    ("today the market fell.", "the team won."),
    ("a bad story.", "the actors are bad and neutral, and the paragraph is a very long one."),
]
QUESTIONS = [("the team", "won"), ("the market", "fell today")]


def write_general(path: Path) -> Path:
    """Write the file and return its path."""
    tables = [("passages", "rest", PASSAGES), ("questions", "answer", QUESTIONS)]
    path.write_text(
        "\n".join(
            f"[[{name}]]\nprompt = {json.dumps(prompt)}\n{part} = {json.dumps(rest)}\n"
            for name, part, pairs in tables
            for prompt, rest in pairs
        )
    )
    return path
