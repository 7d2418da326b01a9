"""Choices of learning rates as a grid keeps them in a store, with how each candidate went."""

from amlora.records.beside import Candidate as Candidate
from amlora.records.beside import Choice as Choice
from amlora.records.store import read_choices as read_choices
