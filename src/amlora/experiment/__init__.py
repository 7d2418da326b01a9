"""Runs: settings in, records out, and the folders that hold them."""
