"""`python -m streams` is the `mutual-sla` command."""

from streams.cli import main

if __name__ == "__main__":
    main()
