"""`python -m ftcli`, what torchrun starts."""

from ftcli.cli.app import main

main()
