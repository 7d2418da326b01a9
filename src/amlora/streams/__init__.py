"""Tasks and streams of tasks: what is learned, in which order, from which data."""
