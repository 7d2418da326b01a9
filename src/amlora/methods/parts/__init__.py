"""What several methods are made of, by composition."""
