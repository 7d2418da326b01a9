"""`python -m amlora`: the command line where no script is installed."""

from amlora.cli.main import main

if __name__ == "__main__":
    main()
