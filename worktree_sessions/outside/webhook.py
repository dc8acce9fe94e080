"""A webhook: one POST of JSON, where a failure is told without the address, which often holds a token."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from worktree_sessions.errors import WtsError

if TYPE_CHECKING:
    from urllib.request import Request


def post(url: str, document: Mapping[str, object], *, timeout: float) -> str:
    """POST a document and return what the server answered, in words.

    Raises WtsError when it did not answer with success within `timeout` seconds, looking up its name included.
    A redirect is not followed: the POST would become a GET without the document, and the token would go elsewhere.
    """
    import queue
    import threading

    request = _request(url, document)
    answers: queue.SimpleQueue[int | WtsError] = queue.SimpleQueue()
    # A thread, because no time-out of the library covers the name's look-up, or a server that answers in drops;
    # its own one is longer, so that what is told of a late answer is always the same.
    threading.Thread(target=lambda: answers.put(_status(request, 2 * timeout)), daemon=True).start()
    try:
        answer = answers.get(timeout=timeout)
    except queue.Empty:
        answer = WtsError("webhook-failed", f"{request.host} did not answer within {timeout:g} s")
    if isinstance(answer, WtsError):
        raise answer
    if not 200 <= answer < 300:
        redirect = ", a redirect, which is not followed" if 300 <= answer < 400 else ""
        raise WtsError("webhook-failed", f"{request.host} answered {answer}{redirect}")
    return f"{request.host} answered {answer}"


def _request(url: str, document: Mapping[str, object]) -> Request:
    import base64
    from urllib.parse import unquote, urlsplit, urlunsplit
    from urllib.request import Request

    if not url.isascii() or not url.isprintable() or " " in url:
        raise _bad_address()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad_address() from None  # its text may hold the token
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _bad_address()
    headers = {"Content-Type": "application/json", "User-Agent": "wts"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    plain = parts._replace(netloc=f"{host}:{port}" if port else host, fragment="")
    return Request(urlunsplit(plain), json.dumps(document).encode(), headers)


def _bad_address() -> WtsError:
    return WtsError("webhook-failed", "the webhook's address is not one of http:// or https://")


def _status(request: Request, timeout: float) -> int | WtsError:
    """Return the status that the server answered with, or what kept it from answering."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, build_opener

    class Unfollowed(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    try:
        with build_opener(Unfollowed).open(request, timeout=timeout) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return error.code
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        said = reason.strerror if isinstance(reason, OSError) and reason.strerror else type(reason).__name__
        return WtsError("webhook-failed", f"{request.host} can't be reached: {said}")
