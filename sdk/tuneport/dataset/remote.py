"""URLs to files, by fsspec; and where one cannot be had, the true cause, which fsspec hides behind "no such file"."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from tuneport.dataset.formats import File, UnreadableError, need, reason, safe_name
from tuneport.errors import NotInstalledError

TIMEOUTS = (
    20.0,
    60.0,
)  # seconds to be connected, and between two pieces of an answer; how long it takes in all is free
_HOSTED = frozenset({"http", "https", "ftp", "sftp"})  # schemes whose addresses name a host
_ELSEWHERE = "Or download it, and name the file."

Known = Callable[[str, str], tuple[str, str | None]]  # from a path and its name in messages to kind and packing


def remote(url: str, known: Known) -> list[File]:
    """The file at `url`, or those that match it. `known` says what a file is by its name, or raises.

    Raises UnreadableError with the cause and what to do, and NotInstalledError with the package to install.
    """
    name = safe_name(url)
    fsspec = need("fsspec", why=f"reading {name}")
    scheme = url.partition("://")[0].lower()
    if scheme in _HOSTED and not _named(url):
        raise UnreadableError(
            f"{name} cannot be read: it is not the address of a host. Write {scheme}://host/data.jsonl.", source=name
        )
    try:
        system, path = fsspec.core.url_to_fs(url, **_options(scheme))
    except ImportError as error:
        raise _not_installed(error, name, scheme) from None
    except Exception as error:  # fsspec's file systems raise what their libraries raise
        raise _unreadable(error, url, name) from error
    base = name[: len(name) - len(path)] if name.endswith(path) else f"{scheme}://"
    try:
        if any(mark in path.partition("?")[0] for mark in "*["):
            paths: list[str] = sorted(system.glob(path))
            if not paths:
                message = f"{name}: no such file. Nothing matches the pattern."
                raise UnreadableError(message, source=name, code="file.missing")
            return [
                _file(system, found, safe_name(found if "://" in found else base + found), known) for found in paths
            ]
        return [_file(system, path, name, known)]
    except (UnreadableError, NotInstalledError):
        raise
    except Exception as error:  # as above
        raise _unreadable(error, url, name) from error


def _options(scheme: str) -> dict[str, Any]:
    """aiohttp's own limit is five minutes for a whole answer: too short for a large file, too long where a host is silent."""
    if scheme not in {"http", "https"}:
        return {}
    try:
        from aiohttp import ClientTimeout
    except ImportError:  # fsspec says so
        return {}
    connect, read = TIMEOUTS
    return {"client_kwargs": {"timeout": ClientTimeout(total=None, sock_connect=connect, sock_read=read)}}


def _file(system: Any, path: str, name: str, known: Known) -> File:
    info = system.info(path)
    if info.get("type") == "directory":
        raise UnreadableError(
            f"{name} is a directory, not a file. Name the files in it, as in '{name.rstrip('/')}/*.jsonl'.",
            source=name,
            code="file.directory",
        )
    kind, packing = known(name, name)
    return File(name, path, kind, packing, info.get("size"), remote=system)


def _not_installed(error: ImportError, name: str, scheme: str) -> NotInstalledError:
    """fsspec's own sentence names the package but not what to type."""
    missing = next((found.name for found in _chain(error) if isinstance(found, ImportError) and found.name), None)
    if scheme in {"http", "https"} or missing is None:
        return NotInstalledError(f"reading {name} needs another package: {reason(error)}", extra="data")
    return NotInstalledError(
        f"reading {scheme}:// addresses, as {name}, needs the package {missing}: pip install {missing}. {_ELSEWHERE}"
    )


def _unreadable(error: Exception, url: str, name: str) -> UnreadableError:
    why, code = _cause(error, url)
    return UnreadableError(f"{name}{why}", source=name, code=code)


def _cause(error: Exception, url: str) -> tuple[str, str]:
    """What stopped it, and the issue's code. By the exceptions' own marks, as no file system's library is imported here."""
    host, port = _place(url)
    for found in reversed(list(_chain(error))):
        status = getattr(found, "status", None)
        if isinstance(status, int) and status >= 400:
            return _status(status, str(getattr(found, "message", "") or ""), host)
        if isinstance(found, socket.gaierror):
            return f" cannot be read: the name of {host} is not known. Check the address and the network.", _UNREAD
        if isinstance(found, (ssl.SSLError, ssl.CertificateError)):
            why = f" cannot be read: the certificate of {host} is refused ({reason(found)})."
            return f"{why} Check the address and this machine's clock. {_ELSEWHERE}", _UNREAD
        if isinstance(found, ConnectionRefusedError):
            return (
                f" cannot be read: {host} refuses the connection{port}. Is a server running there? {_ELSEWHERE}",
                _UNREAD,
            )
        if isinstance(found, TimeoutError):
            connect, read = TIMEOUTS
            limits = f"{connect:g} s to connect and {read:g} s for an answer"
            return f" cannot be read: {host} was silent for too long ({limits}). Try again. {_ELSEWHERE}", _UNREAD
        if isinstance(found, PermissionError):
            why = f" cannot be read: access is refused ({reason(found)})."
            return f"{why} Check the credentials that this machine has for it. {_ELSEWHERE}", _UNREAD
    if isinstance(error, FileNotFoundError) and error.__cause__ is None:
        return ": no such file. Check the address.", "file.missing"
    first = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error
    return f" cannot be read: {reason(first)}. {_ELSEWHERE}", _UNREAD


_UNREAD = "file.unreadable"


def _status(status: int, words: str, host: str) -> tuple[str, str]:
    said = f"HTTP {status}{' ' + words if words else ''}"
    if status in {404, 410}:
        return f": no such file ({host} says {said}). Check the address.", "file.missing"
    if status in {401, 403, 407}:
        fix = f"It must be open, or its address signed. {_ELSEWHERE}"
        return f" cannot be read: {host} does not let this machine have it ({said}). {fix}", _UNREAD
    if status == 429 or status >= 500:
        return f" cannot be read: {host} cannot serve it now ({said}). Try again later. {_ELSEWHERE}", _UNREAD
    return f" cannot be read: {host} says {said}. Check the address. {_ELSEWHERE}", _UNREAD


def _place(url: str) -> tuple[str, str]:
    """The host and the port as messages say them. In many schemes (hf, s3) what stands there is no host."""
    parts = urlsplit(url)
    if parts.scheme in _HOSTED and parts.hostname:
        return parts.hostname, f" on port {parts.port}" if parts.port else ""
    return f"the host that serves {parts.scheme}://", ""


def _named(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # half of an IPv6 address, or a port beyond 65535
        return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it came from; and those that aiohttp keeps within (`os_error`)."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop(0)
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [
            found.__cause__,
            found.__context__,
            getattr(found, "os_error", None),
            getattr(found, "certificate_error", None),
        ]
