"""Reports read stored run folders and `evaluate`, and nothing else."""
