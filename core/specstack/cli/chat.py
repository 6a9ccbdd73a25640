"""`specstack chat`: a conversation in the terminal."""

from typing import TYPE_CHECKING, Annotated

import typer

from specstack.cli.output import DEFAULT_URL, Url, connected, fail

if TYPE_CHECKING:
    from specstack_client import Specstack

Messages = list[dict[str, str]]


def chat(
    message: Annotated[str | None, typer.Argument(help="Ask this, print the answer, leave.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Default is the first.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="A system message.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Talk to a model of a running server.

    Answers appear as they are made. Ctrl-C stops an answer; /quit or Ctrl-D leaves, /new starts afresh.

    Examples:

    \b
      specstack chat
      specstack chat "Name three rivers." --model ollama/llama3.2:3b
      specstack chat --system "Answer in Spanish." --url http://other-machine:8321
    """
    from specstack_client import APIError

    start: Messages = [{"role": "system", "content": system}] if system else []
    with connected(url) as client:
        chosen = model or _first_model(client)
        if message is not None:
            _answer(client, chosen, [*start, {"role": "user", "content": message}])
            return
        typer.echo(f"{chosen} at {url}. /quit leaves, /new starts afresh.")
        messages = list(start)
        while (said := _read()) is not None:
            if said == "/new":
                messages = list(start)
            elif said:
                asked: Messages = [*messages, {"role": "user", "content": said}]
                try:
                    messages = [*asked, {"role": "assistant", "content": _answer(client, chosen, asked)}]
                except KeyboardInterrupt:
                    typer.echo(" [stopped]")
                except APIError as error:
                    typer.echo(f"error: {error.message}", err=True)


def _first_model(client: "Specstack") -> str:
    from specstack_wire import given

    models = client.models.list_models().data
    for one in models:
        metadata = given(one.custom_metadata)
        if metadata is None or metadata.model_type == "llm":
            return one.id
    fail("the server knows no model that chats; see `specstack models`, or name one with --model")


def _answer(client: "Specstack", model: str, messages: Messages) -> str:
    """Print the answer as it comes and return it."""
    from specstack_wire import given

    text = ""
    try:
        with client.inference.create_chat_completion(model=model, messages=messages, stream=True) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    piece: str = given(choice.delta.content, "")
                    text += piece
                    typer.echo(piece, nl=False)
    finally:
        # An error that ends the answer gets a line of its own.
        if text:
            typer.echo()
    return text


def _read() -> str | None:
    """What the person says next; None to leave."""
    try:
        said = input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        typer.echo()
        return None
    return None if said in ("/quit", "/exit") else said
