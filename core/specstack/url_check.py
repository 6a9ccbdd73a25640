"""Whether a text is the URL of another server."""

from urllib.parse import urlsplit

from specstack.secret_shapes import has_credentials


def url_fault(url: str, example: str) -> str | None:
    """What is wrong with a URL, to stand behind its name; None if calls could be made with it.

    Nothing of the URL is repeated: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        escaped = not has_credentials(url) or "@" in parts.netloc
    except ValueError:
        fits, escaped = False, not has_credentials(url)
    if not escaped:
        return "has a '/', '?' or '#' in its user or password: percent-encode it, as %2F, %3F or %23"
    if fits:
        return None
    hint = "; percent-encode what is special in its user and password" if has_credentials(url) else ""
    return f"must be a whole URL such as {example}{hint}"
