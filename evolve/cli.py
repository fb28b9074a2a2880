"""Entry point of the command line: `headscribe`, or `python -m evolve.cli`."""

from evolve.command_line import campaigns, programs, replacement
from evolve.command_line.options import app

__all__ = ["app", "campaigns", "main", "programs", "replacement"]


def main() -> None:
    """Entry point of the console command."""
    app()


if __name__ == "__main__":
    main()
