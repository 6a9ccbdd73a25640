"""The head of a request as bytes. What is the same for all calls to a server is put together once."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote

_LINE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+: [^\x00-\x08\x0a-\x1f\x7f]*")
_PLAIN_PATH = re.compile(r"[!$-;=?-Z_a-z~\[\]]*")
_KEPT_IN_PATHS = "%/:=&?~+!$,;'@()*[]-._"


OFFERED = "gzip, deflate"
_WITH_BODIES = frozenset({"POST", "PUT", "PATCH"})
_MOST_PREFIXES = 64


class RequestHead:
    """Writes the heads of requests to one server. `absolute` is the form that proxies want.

    The query of the server's URL, such as a version of its API, goes with every request.
    """

    __slots__ = ("_base", "_fixed", "_host", "_prefixes", "_query")

    def __init__(self, base: SplitResult, headers: Mapping[str, str], absolute: str = "") -> None:
        self._base = absolute + _path(base.path.rstrip("/")) + "/"
        self._query = _path(base.query)
        self._fixed = {name.lower(): value for name, value in headers.items()}
        self._host = self._fixed.pop("host", None) or host_of(base)
        if base.username is not None and "authorization" not in self._fixed:
            self._fixed["authorization"] = basic(base)
        self._prefixes: dict[tuple[str, str, bool, bool], tuple[bytes, frozenset[str]]] = {}

    def write(
        self,
        method: str,
        path: str,
        body: bytes | None,
        streams: bool,
        call: Mapping[str, str],
        passed: Mapping[str, str] | None = None,
    ) -> bytes:
        """A request with its body. `call` wins over the server's own headers, and these over what is `passed`
        on from a client; all names are in lower case. Raises ValueError for what would break out of the head.
        """
        kind = (method, path, body is None, streams)
        known = self._prefixes.get(kind)
        if known is None:
            known = self._prefix(kind)
        prefix, names = known
        if passed or not names.isdisjoint(call):
            merged = {**(passed or {}), **self._standard(kind), **call}
            lines = self._line(method, path) + _lines(merged)
        else:
            lines = prefix + _lines(call) if call else prefix
        if body is not None:
            return b"%bcontent-length: %d\r\n\r\n%b" % (lines, len(body), body)
        return lines + (b"content-length: 0\r\n\r\n" if method in _WITH_BODIES else b"\r\n")

    def _line(self, method: str, path: str) -> bytes:
        target = self._base + _path(path.lstrip("/"))
        if self._query:
            target += ("&" if "?" in target else "?") + self._query
        return f"{method} {target} HTTP/1.1\r\nhost: {self._host}\r\n".encode()

    def _standard(self, kind: tuple[str, str, bool, bool]) -> dict[str, str]:
        """The headers of a kind of call when it brings none itself."""
        _, _, bodyless, streams = kind
        # A compressing upstream would hold events back until a block is full.
        headers = {"accept-encoding": "identity" if streams else OFFERED}
        if not bodyless:
            headers["content-type"] = "application/json"
        return {**headers, **self._fixed}

    def _prefix(self, kind: tuple[str, str, bool, bool]) -> tuple[bytes, frozenset[str]]:
        method, path, _, _ = kind
        headers = self._standard(kind)
        made = self._line(method, path) + _lines(headers), frozenset(headers)
        if len(self._prefixes) >= _MOST_PREFIXES:  # paths may hold ids
            self._prefixes.clear()
        self._prefixes[kind] = made
        return made


def host_of(url: SplitResult) -> str:
    """A URL's host and port as a header names them."""
    host = ascii_host(url.hostname or "")
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[url.scheme]
    return host if url.port in (None, default) else f"{host}:{url.port}"


def ascii_host(host: str) -> str:
    """A host's name as name servers know it."""
    return host if host.isascii() else host.encode("idna").decode()


def basic(url: SplitResult) -> str:
    """The user and password of a URL as a header's value."""
    pair = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _path(path: str) -> str:
    return path if _PLAIN_PATH.fullmatch(path) else quote(path, safe=_KEPT_IN_PATHS)


def _lines(headers: Mapping[str, str]) -> bytes:
    text = ""
    for name, value in headers.items():
        line = f"{name}: {value}"
        if not _LINE.fullmatch(line):
            raise ValueError("a header that is none")
        text += line + "\r\n"
    return text.encode()
