"""What a run leaves behind: its schema, the one reader, data frames and packs. Needs no torch."""
