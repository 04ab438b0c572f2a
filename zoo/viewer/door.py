"""Who is let in: the first who comes with the token in the address, and then has a cookie."""

from __future__ import annotations

import secrets
from typing import Any

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FORBIDDEN = 403


class Door:
    """ASGI middleware that refuses everyone but the one browser that was given the address.

    Other users of the machine can reach its loopback, and may see the address in the list of
    processes; so it works once. Pages of other sites can send requests to it, under names that
    resolve to this machine; so Host and Origin must be its own.

    Attributes:
        path: that lets the first one in who asks for it.
    """

    def __init__(self, app: Any, address: str) -> None:
        """Stand before an application.

        Args:
            app: the ASGI application.
            address: that it is reached at, HOST:PORT.
        """
        self._app, self._address = app, address
        # Cookies of one host are shared by all its ports.
        self._name = f"zoo-view-{address.rpartition(':')[2]}"
        self._cookie, self._token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self.path = f"/?token={self._token}"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or pass it on."""
        from starlette.requests import Request

        response = self._answer(Request(scope))
        await (response or self._app)(scope, receive, send)

    def _answer(self, request: Any) -> Any:
        """A response to whoever is not let through; None for who is."""
        from starlette.responses import PlainTextResponse, RedirectResponse

        origin = request.headers.get("origin", f"http://{self._address}")
        if request.headers.get("host") != self._address or origin != f"http://{self._address}":
            return PlainTextResponse(
                f"wanted a request to {self._address} from there; open the address that zoo view"
                " printed",
                FORBIDDEN,
                HEADERS,
            )
        token = request.query_params.get("token")
        known = _same(request.cookies.get(self._name), self._cookie)
        if known and token is None:
            return None
        if request.url.path == "/" and (known or _same(token, self._token)):
            self._token = ""
            response = RedirectResponse("/", 303, HEADERS)
            response.set_cookie(self._name, self._cookie, httponly=True, samesite="lax")
            return response
        return PlainTextResponse(
            "wanted the address that zoo view printed, which works once, in one browser;"
            " for another, start zoo view again",
            FORBIDDEN,
            HEADERS,
        )


def _same(given: str | None, secret: str) -> bool:
    """Whether a secret was given; takes as long for any answer."""
    return bool(given and secret) and secrets.compare_digest(str(given).encode(), secret.encode())
