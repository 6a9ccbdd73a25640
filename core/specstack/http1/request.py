"""The head of a request as bytes. What is the same for all calls to a server is put together once."""

import base64
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, unquote

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BREAKS_OUT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PLAIN_PATH = re.compile(r"[!$-;=?-Z_a-z~\[\]]*")
_KEPT_IN_PATHS = "%/:=&?~+!$,;'@()*[]-._"


class RequestHead:
    """Writes the heads of requests to one server. `absolute` is the form that proxies want."""

    __slots__ = ("_absolute", "_base", "_fixed", "_host", "_standard")

    def __init__(self, base: SplitResult, headers: Mapping[str, str], absolute: str = "") -> None:
        self._base = absolute + _path(base.path.rstrip("/")) + "/"
        self._fixed = {name.lower(): value for name, value in headers.items()}
        self._host = self._fixed.pop("host", None) or host_of(base)
        if base.username is not None and "authorization" not in self._fixed:
            self._fixed["authorization"] = basic(base)
        self._standard = _lines(self._fixed)

    def write(
        self, method: str, path: str, body: bytes | None, own: Mapping[str, str], call: Mapping[str, str]
    ) -> bytes:
        """A request with its body. Names in `own` and `call` are in lower case; `call` wins over the
        server's headers, these win over `own`. Raises ValueError for what would break out of the head."""
        head = f"{method} {self._base}{_path(path.lstrip('/'))} HTTP/1.1\r\nhost: {self._host}\r\n"
        if body is not None or method in ("POST", "PUT", "PATCH"):
            head += f"content-length: {0 if body is None else len(body)}\r\n"
        fixed = self._fixed
        if (call and not fixed.keys().isdisjoint(call)) or own:
            head += _lines({**own, **fixed, **call})
        else:
            head += self._standard + _lines(call)
        return f"{head}\r\n".encode() + (body or b"")


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


def _lines(headers: Mapping[str, str]) -> str:
    text = ""
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _BREAKS_OUT.search(value):
            raise ValueError("a header that is none")
        text += f"{name}: {value}\r\n"
    return text
