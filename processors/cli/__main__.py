"""`python -m processors.cli` is `muster`."""

from processors.cli import main

main()
