"""A running server's guards: host names, foreign pages, CORS, TLS and client certificates."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from core.test_serving import Server
from specstack import probe
from specstack.tls import server_context
from specstack_api.run_config import TlsConfig

HEAD = """
version: 2
distro_name: guarded
providers:
  inference:
    - provider_id: up
      provider_type: remote::openai-compatible
      config: {base_url: "http://127.0.0.1:9/v1"}
server:
  port: 0
  shutdown_grace_seconds: 0
"""
CORS = """
  allowed_hosts: [api.example.com]
  cors: {allow_origins: ["https://ui.example.com"], allow_credentials: true, max_age_seconds: 60}
"""
MODEL = {"model_id": "m", "provider_id": "up"}


@contextmanager
def serving(folder: Path, settings: str, *arguments: str, **env: str) -> Iterator[Server]:
    path = folder / "run.yaml"
    path.write_text(HEAD + settings)
    server = Server(path, arguments, **env).ready()
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("plain"), "") as server:
        yield server.url


@pytest.fixture(scope="module")
def cors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("cors"), CORS) as server:
        yield server.url


def test_a_rebound_name_reaches_nothing(plain: str) -> None:
    for path in ("/v1/models", "/v1/health", "/openapi.json", "/none"):
        reply = httpx.get(plain + path, headers={"host": "evil.example"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (421, "host_not_allowed")
        assert reply.headers["x-request-id"]
    port = plain.rsplit(":", 1)[1]
    assert httpx.get(plain + "/v1/models", headers={"host": f"localhost:{port}"}).status_code == 200


def test_a_foreign_page_changes_nothing(plain: str) -> None:
    headers = {"origin": "https://evil.example"}
    assert httpx.post(plain + "/v1/models", json=MODEL, headers=headers).status_code == 403
    assert httpx.get(plain + "/v1/models/m").status_code == 404
    read = httpx.get(plain + "/v1/models", headers=headers)
    assert not [name for name in read.headers if name.startswith("access-control-")]
    asked = {**headers, "access-control-request-method": "POST"}
    preflight = httpx.options(plain + "/v1/models", headers=asked)
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control-")]


def test_configured_hosts(cors: str) -> None:
    assert httpx.get(cors + "/v1/models", headers={"host": "api.example.com"}).status_code == 200
    assert httpx.get(cors + "/v1/models", headers={"host": "api.example.org"}).status_code == 421


def test_a_page_of_a_configured_origin(cors: str) -> None:
    ui = {"origin": "https://ui.example.com"}
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    preflight = httpx.options(cors + "/v1/models", headers={**ui, **asked})
    assert preflight.status_code == 204
    assert {name: value for name, value in preflight.headers.items() if name.startswith("access-")} == {
        "access-control-allow-origin": "https://ui.example.com",
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
        "access-control-allow-headers": "authorization,content-type",
        "access-control-allow-credentials": "true",
        "access-control-max-age": "60",
    }
    made = httpx.post(cors + "/v1/models", json=MODEL, headers=ui)
    assert made.status_code == 200
    assert made.headers["access-control-allow-origin"] == "https://ui.example.com"
    exposed = made.headers["access-control-expose-headers"].split(", ")
    assert {"x-request-id", "retry-after", "x-ratelimit-remaining-tokens"} <= set(exposed)
    assert len(exposed) == 8
    assert made.headers["access-control-allow-credentials"] == "true"
    assert made.headers["vary"] == "origin"
    missing = httpx.get(cors + "/v1/models/none", headers=ui)
    assert (missing.status_code, missing.headers["access-control-allow-origin"]) == (404, ui["origin"])


def test_pages_of_other_origins(cors: str) -> None:
    other = {"origin": "https://ui.example.com.evil.example"}
    preflight = httpx.options(cors + "/v1/models", headers={**other, "access-control-request-method": "POST"})
    for reply in (preflight, httpx.get(cors + "/v1/models", headers=other)):
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert "origin" in reply.headers["vary"]
    assert httpx.post(cors + "/v1/models", json=MODEL, headers=other).status_code == 403


def test_with_keys_any_address_any_host_any_page(tmp_path: Path) -> None:
    key = "sk-canary-00000000000"
    settings = """
  host: 0.0.0.0
  auth: {provider_config: {type: api_keys, plain_keys: "${env.KEYS}"}}
  cors: {allow_origins: ["*"], allow_headers: [authorization], allow_methods: [GET], expose_headers: []}
"""
    with serving(tmp_path, settings, KEYS=key) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1") + "/v1/models"
        headers = {"host": "anything.example", "origin": "https://any.example"}
        refused = httpx.get(url, headers=headers)
        # The page can read that it needs a key.
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
        preflight = httpx.options(url, headers={**headers, "access-control-request-method": "GET"})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-headers"] == "authorization"
        assert preflight.headers["access-control-allow-methods"] == "GET"
        allowed = httpx.get(url, headers={**headers, "authorization": f"Bearer {key}"})
        assert allowed.status_code == 200
        assert "access-control-expose-headers" not in allowed.headers


# -- TLS -----------------------------------------------------------------------------------


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, other-ca.pem; server.pem, client.pem (of the first), stranger.pem (of the other); keys."""
    folder = tmp_path_factory.mktemp("certificates")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other-ca"):
        openssl(folder, "req", "-x509", *curve, "-days", "2", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name, ca in (("server", "ca"), ("client", "ca"), ("stranger", "other-ca")):
        openssl(
            folder, "req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr"
        )
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{name}.pem")  # fmt: skip
    openssl(folder, "ec", "-in", "server.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key")
    both = (folder / "server.pem").read_text() + (folder / "server.key").read_text()
    (folder / "both.pem").write_text(both)
    return folder


def caller(folder: Path, name: str = "") -> ssl.SSLContext:
    """What a client that trusts our root uses, with the certificate `name` of its own."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if name:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


@pytest.mark.parametrize(
    "settings", ["certfile: C/server.pem, keyfile: C/server.key", "certfile: C/both.pem"]
)
def test_tls(tmp_path: Path, certificates: Path, settings: str) -> None:
    tls = f"  tls: {{{settings.replace('C/', str(certificates) + '/')}}}\n"
    with serving(tmp_path, tls) as server:
        assert server.url.startswith("https://127.0.0.1:")
        url = server.url + "/v1/models"
        assert httpx.get(url, verify=caller(certificates)).status_code == 200
        assert probed(tmp_path, server) is None
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(url)
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http"))


def probed(folder: Path, server: Server) -> str | None:
    """What the health check of a container says of a server that `serving` has started."""
    return probe.fault(folder / "run.yaml", int(server.url.rsplit(":", 1)[1]))


def test_the_health_check_of_a_container(tmp_path: Path) -> None:
    with serving(tmp_path, "") as server:
        assert probed(tmp_path, server) is None
        port = int(server.url.rsplit(":", 1)[1])
    assert (probe.fault(tmp_path / "run.yaml", port) or "").startswith(f"port {port}: ConnectionRefused")
    assert "No such file" in (probe.fault(tmp_path / "none.yaml", port) or "")


def test_old_versions_of_tls_are_off(certificates: Path) -> None:
    settings = TlsConfig(certfile=str(certificates / "both.pem"))
    assert server_context(settings).minimum_version == ssl.TLSVersion.TLSv1_2


def test_client_certificates(tmp_path: Path, certificates: Path) -> None:
    """They are authentication enough for an address that others reach."""
    names = {"certfile": "server.pem", "keyfile": "server.key", "cafile": "ca.pem"}
    tls = ", ".join(f"{key}: {certificates / name}" for key, name in names.items())
    with serving(tmp_path, f"  host: 0.0.0.0\n  tls: {{{tls}}}\n") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1") + "/v1/models"
        assert httpx.get(url, verify=caller(certificates, "client")).status_code == 200
        assert probed(tmp_path, server) is None
        for name in ("", "stranger"):
            with pytest.raises(httpx.TransportError):
                httpx.get(url, verify=caller(certificates, name))
        # A browser sends the certificate along by itself, whatever the page.
        with httpx.Client(verify=caller(certificates, "client")) as client:
            foreign = client.post(url, json=MODEL, headers={"origin": "https://evil.example"})
        assert foreign.status_code == 403


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "certfile: C/none.pem",
            "server.tls.certfile: C/none.pem: cannot be read: No such file or directory",
        ),
        (
            "certfile: C/server.pem, keyfile: C/none.key",
            "server.tls.keyfile: C/none.key: cannot be read: No such file or directory",
        ),
        (
            "certfile: C/server.pem, keyfile: C/client.key",
            "server.tls: C/server.pem and C/client.key: key values mismatch; give the certificate chain "
            "as PEM in certfile and its unencrypted key in keyfile",
        ),
        (
            "certfile: C/server.pem, keyfile: C/locked.key",
            "server.tls: C/server.pem and C/locked.key: the key is encrypted; give the certificate chain "
            "as PEM in certfile and its unencrypted key in keyfile",
        ),
        (
            "certfile: C/server.pem",
            "server.tls: C/server.pem holds no private key; give the certificate chain as PEM in certfile "
            "and its unencrypted key in keyfile",
        ),
        (
            "certfile: C/server.key, keyfile: C/server.pem",
            "server.tls: C/server.key holds no certificate; give the certificate chain as PEM in certfile "
            "and its unencrypted key in keyfile",
        ),
        (
            "certfile: C/both.pem, cafile: C/names",
            "server.tls.cafile: C/names: no certificate or crl found; give certificates as PEM",
        ),
    ],
)
def test_certificates_that_will_not_do(
    tmp_path: Path, certificates: Path, settings: str, message: str
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(HEAD + f"  tls: {{{settings.replace('C/', str(certificates) + '/')}}}\n")
    out, err = Server(path).process.communicate(timeout=30)
    assert (out, err) == ("", f"error: {message.replace('C/', str(certificates) + '/')}\n")
