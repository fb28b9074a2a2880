"""Entry point of the command line: `headscribe`, or `python -m evolve.cli`."""

import sys

from evolve.command_line import campaigns, programs, replacement
from evolve.command_line.options import app, tell
from fitness.errors import UserError

__all__ = ["app", "campaigns", "main", "programs", "replacement"]


def main() -> None:
    """Entry point of the console command."""
    try:
        app(prog_name="headscribe")
    except UserError as error:
        # What cannot even be imported on this system says so; all else that goes wrong is told by `execute`.
        tell(error)
        sys.exit(2)


if __name__ == "__main__":
    main()
