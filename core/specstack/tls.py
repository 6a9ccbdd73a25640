"""TLS of the listener, from files."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from specstack.startup import StartupError

if TYPE_CHECKING:
    from specstack_api.run_config import TlsConfig


def server_context(settings: "TlsConfig") -> ssl.SSLContext:
    """The context of a server that shows `certfile` and, with `cafile`, wants certificates of its callers.

    TLS 1.2 is the oldest version. Raises StartupError when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for name in ("certfile", "keyfile", "cafile"):
        path = getattr(settings, name)
        if path is not None:
            _readable(name, path)
    try:
        # An encrypted key would make OpenSSL ask on the terminal.
        context.load_cert_chain(settings.certfile, settings.keyfile, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        both = f"{settings.certfile} and {settings.keyfile}" if settings.keyfile else settings.certfile
        reason = _lacking(settings) or f"{both}: {_reason(error)}"
        raise StartupError(
            f"server.tls: {reason}; give the certificate chain as PEM in certfile and its "
            "unencrypted key in keyfile"
        ) from None
    if settings.cafile is not None:
        try:
            context.load_verify_locations(settings.cafile)
        except ssl.SSLError as error:
            message = f"server.tls.cafile: {settings.cafile}: {_reason(error)}; give certificates as PEM"
            raise StartupError(message) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _readable(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise StartupError(f"server.tls.{name}: {path}: cannot be read: {error.strerror}") from None


def _lacking(settings: "TlsConfig") -> str:
    """Which part is not in its file, as far as the file's words tell."""
    keyfile = settings.keyfile or settings.certfile
    if b" CERTIFICATE-----" not in Path(settings.certfile).read_bytes():
        return f"{settings.certfile} holds no certificate"
    if b"PRIVATE KEY-----" not in Path(keyfile).read_bytes():
        return f"{keyfile} holds no private key"
    return ""


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        return reason or "it cannot be read"
    return str(error)
