"""The practitioner's side: load, use and save what a model has learned."""
