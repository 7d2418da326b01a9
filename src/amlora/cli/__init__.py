"""The command line: `main` and one file per command. Heavy imports wait inside the commands."""
