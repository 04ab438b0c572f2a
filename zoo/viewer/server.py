"""The server of the page: on this machine only, and for one browser; see `Door`."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from threading import Lock
from typing import Any

from zoo.errors import MissingDependency, ZooError
from zoo.viewer.cases import Case
from zoo.viewer.door import HEADERS, Door
from zoo.viewer.exhibit import Exhibit
from zoo.viewer.page import ASSETS, asset, served_page

HOST = "127.0.0.1"
KEPT = 2  # cases whose files stay in memory
TYPES = {"js": "text/javascript", "css": "text/css", "json": "application/json", "png": "image/png"}


class Server:
    """Serves cases to one browser, until it is stopped.

    Attributes:
        url: the address to open, which works once.
    """

    def __init__(
        self, cases: Sequence[Case], start: int = 0, *, port: int = 0, full: bool = False
    ) -> None:
        """Read the first case, so that what is wrong with it is known at once, and take a port.

        Args:
            cases: what is to be seen.
            start: number of the first of them.
            port: to listen on; 0 for any that is free.
            full: send every voxel and triangle.

        Raises:
            MissingDependency: starlette or uvicorn is not installed.
            ReadError, VolumeError: the first case cannot be read.
            ZooError: the port is taken.
        """
        _check_installed()
        self._cases, self._start, self._full = cases, start, full
        self._exhibits, self._reading = lru_cache(KEPT)(self._read), Lock()
        self._exhibit(start)
        self._socket = _listening(port)
        address = f"{HOST}:{self._socket.getsockname()[1]}"
        self._door = Door(self._application(), address)
        self.url = f"http://{address}{self._door.path}"

    def run(self) -> None:
        """Serve until Ctrl-C."""
        import uvicorn

        config = uvicorn.Config(
            self._door, log_level="critical", lifespan="off", ws="none", server_header=False
        )
        try:
            uvicorn.Server(config).run(sockets=[self._socket])
        except KeyboardInterrupt:
            return
        finally:
            self._socket.close()

    def _application(self) -> Any:
        from starlette.applications import Starlette
        from starlette.routing import Route

        application = Starlette(
            routes=[
                Route("/", self._page),
                Route("/{number:int}/{name}", self._file),
                Route("/{name}", self._asset),
            ]
        )
        application.router.redirect_slashes = False
        return application

    def _page(self, _: Any) -> Any:
        title = self._cases[self._start].name
        return _response(served_page(title, len(self._cases), self._start), "text/html")

    def _asset(self, request: Any) -> Any:
        name = request.path_params["name"]
        return _response(asset(name), _type(name)) if name in ASSETS else _nothing()

    def _file(self, request: Any) -> Any:
        number, name = request.path_params["number"], request.path_params["name"]
        if number >= len(self._cases):
            return _nothing()
        try:
            exhibit = self._exhibit(number)
            if name not in exhibit.names:
                return _nothing()
            return _response(exhibit.content(name), _type(name))
        except ZooError as error:
            return _response(str(error), "text/plain", 500)

    def _exhibit(self, number: int) -> Exhibit:
        with self._reading:  # once, however many of its files are asked for
            return self._exhibits(number)

    def _read(self, number: int) -> Exhibit:
        return Exhibit(self._cases[number], full=self._full)


def _response(content: str | bytes, media_type: str, status: int = 200) -> Any:
    from starlette.responses import Response

    return Response(content, status, HEADERS, media_type)


def _nothing() -> Any:
    return _response("there is no such file", "text/plain", 404)


def _type(name: str) -> str:
    return TYPES.get(name.rpartition(".")[2], "application/octet-stream")


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise ZooError(
            f"--port {port}: {error.strerror}; choose another, or leave it out for a free one"
        ) from error
    listener.listen()
    return listener


def _check_installed() -> None:
    for package in ("starlette", "uvicorn", "fast_simplification"):
        if find_spec(package) is None:
            raise MissingDependency(
                f"zoo view needs {package}; install it: pip install 'sparse-volume-zoo[view]'"
            )
