"""HTML that is made of nothing but elements: whatever is no element is a text, and is spelled so that it stays one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape

from contract.plain import printable

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ddd; }
h1, h2, th, td, p, li { overflow-wrap: anywhere; } th { font-weight: 600; }
.wide { overflow-x: auto; } .wide td, .wide th { overflow-wrap: normal; } .wide svg { min-width: 40rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; background: #f5f5f5; padding: .5rem; }
svg { width: 100%; height: auto; } svg text { font: 11px system-ui, sans-serif; fill: #1a1a1a; }
.good { color: #0a5c2b; } .bad { color: #a0111b; font-weight: 600; } .unknown { color: #7a4a00; font-weight: 600; }
.done { fill: #2f6fb0; } .failed { fill: #a0111b; } .begun { fill: #c98a00; } .axis { stroke: #777; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; } table, svg, pre { break-inside: avoid; } }
"""


class Markup(str):
    """An element, or several: nothing in it is spelled once more."""

    __slots__ = ()


def tag(name: str, *inside: str | Iterable[str], **attributes: object) -> Markup:
    """`attributes`: `class_` for `class`, `text_anchor` for `text-anchor`; those that are None are left out."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_spelled(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{told}>{''.join(map(_inside, inside))}</{name}>")


def _inside(it: str | Iterable[str]) -> str:
    if isinstance(it, Markup):
        return it
    return _spelled(it) if isinstance(it, str) else "".join(map(_inside, it))


def _spelled(text: str) -> str:
    return escape(printable(text), quote=True)


def page(title: str, *inside: str | Iterable[str]) -> str:
    """A document that needs nothing else and runs nothing."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="referrer" content="no-referrer"><meta name="viewport" content="width=device-width">'
        f"<title>{_spelled(title)}</title><style>{STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{tag("body", tag("main", *inside))}</html>\n'


def section(title: str, *inside: str | Iterable[str]) -> Markup:
    """With its heading."""
    return tag("section", tag("h2", title), *inside)


def rows(told: Mapping[str, str | Markup]) -> Markup:
    """A table of names and values; what has no value is left out."""
    return tag(
        "table", (tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in told.items() if value)
    )


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> Markup:
    """With a line of heads; what has no head is read without one."""
    top = tag("thead", tag("tr", (tag("th", it, scope="col") if it else tag("td") for it in head)))
    return wide(tag("table", top, tag("tbody", (tag("tr", (tag("td", it) for it in line)) for line in lines))))


def wide(it: Markup) -> Markup:
    """What is moved sideways where a screen is too narrow for it: no word of it is broken, and no text made small. By keys, too."""
    return tag("div", it, class_="wide", tabindex="0")


def listed(lines: Iterable[str]) -> Markup:
    """A list."""
    return tag("ul", (tag("li", it) for it in lines))
