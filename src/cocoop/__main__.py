"""`python -m cocoop`: the command line, where its script is not on the path."""

from cocoop.cli import main

if __name__ == "__main__":  # processes of a benchmark import this file, too
    main()
