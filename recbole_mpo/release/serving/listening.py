"""The web server: uvicorn on a socket of ours, which ends as it is asked to."""

import socket

import uvicorn


class _Server(uvicorn.Server):
    """A server that says when it answers.

    Args:
        config: its settings.
        opening: what it prints then.
    """

    def __init__(self, config: uvicorn.Config, opening: str):
        super().__init__(config)
        self.opening = opening

    async def startup(self, sockets: list[socket.socket] | None = None):
        """Begin to answer."""
        await super().startup(sockets)
        print(self.opening, flush=True)


def listen(app, bound: socket.socket, grace: float, opening: str):
    """Answer requests until SIGTERM or Ctrl-C; then those that are under way, and no others.

    Args:
        app: the ASGI application.
        bound: a bound socket.
        grace: seconds that the last requests may take.
        opening: what is printed when requests are answered.
    """
    settings = {"log_level": "warning", "access_log": False, "server_header": False}
    server = _Server(uvicorn.Config(app, timeout_graceful_shutdown=grace, **settings), opening)
    try:
        server.run(sockets=[bound])
    except KeyboardInterrupt:
        # Having ended as it was asked to, uvicorn sends itself the signal again.
        if not server.should_exit:
            raise
