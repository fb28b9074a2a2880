"""`headscribe view`: a live local page of the runs in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evolve.views.live import make_server


def view(directory: Path, port: int, announce: Callable[[str], None]) -> None:
    """Serves the runs of a folder on 127.0.0.1 until Ctrl-C; announces the address.

    Raises:
        UserError: where there is no such folder, or the port is taken.
    """
    server = make_server(directory, port)
    announce("http://{}:{}/".format(*server.server_address[:2]))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()
