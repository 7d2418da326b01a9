"""Scores, metrics and statistics: pure functions on texts and on the accuracy matrix."""
