"""Run the command as `python -m exporter`."""

from .cli import main

main()
