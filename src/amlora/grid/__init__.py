"""Comparisons: methods x orders x seeds, each cell a run, handed to an executor."""
