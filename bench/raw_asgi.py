"""The least that an ASGI app can do for the same requests: what the web server alone costs. The yardstick."""

from typing import Any

from upstream import CHAT, EVENTS, MODELS, WORD, embedded

EIGHT = embedded(8)
BODIES = {
    "/v1/chat/completions": CHAT.partition(b"\r\n\r\n")[2],
    "/v1/embeddings": EIGHT.partition(b"\r\n\r\n")[2],
    "/v1/models": MODELS.partition(b"\r\n\r\n")[2],
    "/v1/health": b'{"status":"OK"}',
}
PIECE = WORD.partition(b"\r\n")[2].removesuffix(b"\r\n")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body and sends a fixed reply."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if b'"stream": true' in body:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(EVENTS + 2):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})
        return
    reply = BODIES[scope["path"]]
    length = (b"content-length", b"%d" % len(reply))
    headers = [(b"content-type", b"application/json"), length]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": reply})
