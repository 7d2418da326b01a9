"""Load models, make batches, train a stage, decide answers, keep checkpoints."""
