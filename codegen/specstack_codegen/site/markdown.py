"""The Markdown that specs and reference pages are written in, as HTML.

Headings, paragraphs, lists, tables, fenced code, links, code and bold; anchors `<a id="…"></a>` stay.
Whatever else looks like HTML is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape

_INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\[(?P<text>(?:`[^`]*`|[^\]])*)\]\((?P<url>[^)\s]+)\)|\*\*(?P<bold>.+?)\*\*"
)
_OTHER_SCHEME = re.compile(r"(?!https?:|mailto:)[a-zA-Z][a-zA-Z0-9+.-]*:")
_ANCHOR = re.compile(r'<a id="([\w-]+)"></a>')
_HEADING = re.compile(r"(#{1,6}) (.*)")
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_PAGE = re.compile(r"^(?![a-z]+:)([^#]*)\.md(#.*)?$")
_JSON = re.compile(
    r'(?P<key>"(?:\\.|[^"\\])*")(?=\s*:)|(?P<text>"(?:\\.|[^"\\])*")|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)


def inline(text: str) -> str:
    """One line: code, links and bold."""
    parts: list[str] = []
    end = 0
    for match in _INLINE.finditer(text):
        parts.append(_plain(text[end : match.start()]))
        end = match.end()
        if match["code"] is not None:
            parts.append(f"<code>{_plain(match['code'])}</code>")
        elif match["url"] is not None and _OTHER_SCHEME.match(match["url"]):
            parts.append(inline(match["text"]))
        elif match["url"] is not None:
            parts.append(f'<a href="{escape(page(match["url"]))}">{inline(match["text"])}</a>')
        else:
            parts.append(f"<strong>{inline(match['bold'])}</strong>")
    return "".join([*parts, _plain(text[end:])])


def page(url: str) -> str:
    """The address of a page of the site for one of the Markdown reference; other addresses as they are."""
    return _PAGE.sub(lambda match: f"{match[1]}.html{match[2] or ''}", url)


def blocks(text: str) -> str:
    """A whole text."""
    return "\n".join(_blocks(_COMMENT.sub("", text).splitlines()))


def _blocks(lines: list[str]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        line = lines[at]
        end = at + 1
        if not line.strip():
            pass
        elif line.startswith("```"):
            while end < len(lines) and not lines[end].startswith("```"):
                end += 1
            yield code("\n".join(lines[at + 1 : end]), line[3:].strip())
            end += 1
        elif heading := _HEADING.match(line):
            level = len(heading[1])
            yield f"<h{level}>{inline(heading[2])}</h{level}>"
        elif anchor := _ANCHOR.fullmatch(line.strip()):
            yield f'<a class="anchor" id="{anchor[1]}"></a>'
        else:
            kind = _kind(line)
            while end < len(lines) and lines[end].strip() and _continues(kind, lines[end]):
                end += 1
            yield _block(kind, lines[at:end])
        at = end


def _kind(line: str) -> str:
    return "list" if line.startswith("- ") else "table" if line.startswith("|") else "text"


def _continues(kind: str, line: str) -> bool:
    if kind == "table":
        return line.startswith("|")
    if kind == "list":
        return line.startswith(("- ", "  "))
    return _kind(line) == "text" and not line.startswith("```") and not _HEADING.match(line)


def _block(kind: str, lines: list[str]) -> str:
    if kind == "table":
        return _table(lines)
    if kind == "list":
        items: list[str] = []
        for line in lines:
            if line.startswith("- "):
                items.append(line[2:])
            else:
                items[-1] += f" {line.strip()}"
        return f"<ul>{''.join(f'<li>{inline(item)}</li>' for item in items)}</ul>"
    return f"<p>{inline(' '.join(line.strip() for line in lines))}</p>"


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    head, body = rows[0], rows[2:]
    titles = "".join(f'<th scope="col">{inline(cell)}</th>' for cell in head)
    filled = "".join(f"<tr>{_cells(head, row)}</tr>" for row in body)
    header = f"<thead><tr>{titles}</tr></thead>" if any(head) else ""
    return f'<div class="table"><table>{header}<tbody>{filled}</tbody></table></div>'


def _cells(head: list[str], row: list[str]) -> str:
    return "".join(
        f'<td data-label="{escape(title)}">{inline(cell)}</td>'
        for title, cell in zip(head, row, strict=False)
    )


def code(text: str, language: str = "") -> str:
    """A block of code; JSON in colours, a focus stop so that the keyboard can scroll it."""
    shown = highlighted(text) if language == "json" else escape(text, quote=False)
    return f'<pre tabindex="0"><code>{shown}</code></pre>'


def as_json(value: object) -> str:
    """A value as a block of JSON."""
    return code(json.dumps(value, indent=2, ensure_ascii=False), "json")


def highlighted(text: str) -> str:
    """JSON text with its keys, strings, numbers and words marked."""
    parts: list[str] = []
    end = 0
    for match in _JSON.finditer(text):
        parts.append(escape(text[end : match.start()], quote=False))
        parts.append(f'<span class="{match.lastgroup}">{escape(match[0], quote=False)}</span>')
        end = match.end()
    return "".join([*parts, escape(text[end:], quote=False)])


def _plain(text: str) -> str:
    return escape(text.replace("\\|", "|"), quote=False)
