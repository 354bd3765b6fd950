"""The page itself, of its document alone: whoever writes it makes the same bytes. One file, nothing from elsewhere.

Its text says until when it may be believed, for readers without scripts. A few lines of script hold that against the reader's clock, and against the
time that the page has been open: from then on every state is "not known".
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from hashlib import sha256
from html import escape

from contract.monitoring.status_page import Document, Incident, Part, State
from contract.services.status_page import StatusPage

from . import words

REVISION = re.compile(rb'<html lang="en" data-revision="([0-9]{1,12})"')
_LINK = re.compile(r"https://[^\s\"'<>]+")
_MAIL = re.compile(r"[^\s@<>\"']+@[A-Za-z0-9.-]+")
AHEAD_S = 90  # by which a reader's clock may be behind before it says nothing about the page's age

STYLE = """
:root{color-scheme:light dark;--page:#fff;--text:#16191d;--soft:#50575f;--line:#d5d9de}
:root{--works:#0b6b2e;--impaired:#8a4b00;--down:#b00020;--unknown:#50575f}
@media (prefers-color-scheme:dark){:root{--page:#14171a;--text:#eceff2;--soft:#aab2ba;--line:#3a4148;
--works:#6fd08c;--impaired:#f2b45c;--down:#ff8a94;--unknown:#aab2ba}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:44rem;padding:1.25rem 1rem 3rem;background:var(--page);color:var(--text)}
body{font:1rem/1.5 system-ui,sans-serif;overflow-wrap:break-word}
h1{font-size:1.1rem;margin:0 0 1rem}
h2{font-size:1.1rem;margin:2rem 0 .5rem}
.head{font-size:1.6rem;line-height:1.25;font-weight:700;margin:0}
ul,dl{list-style:none;margin:0;padding:0}
li,dl>div{border-top:1px solid var(--line);padding:.7rem 0}
dt{font-weight:600}
dd{margin:0}
small,.soft{color:var(--soft);font-size:.95rem}
.sign{display:inline-block;width:1.4em;font-weight:700}
.works{color:var(--works)}.impaired{color:var(--impaired)}.down{color:var(--down)}.unknown{color:var(--unknown)}
a{color:inherit}
.old .then,.new .later{display:none}
""".strip()
SCRIPT = """
(function(){
var page=document.documentElement,opened=Date.now(),running=performance.now();
function look(){
var now=Date.now(),since=performance.now()-running,asOf=+page.dataset.asOf*1000,bound=+page.dataset.bound*1000;
var jumped=Math.abs(now-opened-since)>60000;
if(now-asOf>bound||since>bound||asOf-now>AHEAD||jumped){if(page.className!=='old'){page.className='old'}}
else{setTimeout(look,1000)}
}
look();
})()
""".strip().replace("AHEAD", f"{AHEAD_S}000")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_digest(STYLE)}; script-src {_digest(SCRIPT)}; base-uri 'none'; form-action 'none'"
)


def page(it: Document, terms: StatusPage) -> str:
    """The whole of it. `terms`: what is configured."""
    shop = State(it.shop.state)
    others = {State(it.data.state), State(it.systems.state)}
    behind = next((each for each in (State.DOWN, State.IMPAIRED, State.UNKNOWN) if each in others), State.WORKS)
    title = escape(terms.title)
    return f"""<!doctype html>
<html lang="en" data-revision="{it.revision}" data-as-of="{it.as_of}" data-bound="{it.bound_s}" class="new">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY, quote=False)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<div role="status">
<h2 class="head then {shop}">{_sign(shop)}{words.headline(shop, behind)}</h2>
<h2 class="head later unknown">{_sign(State.UNKNOWN)}Not known since {_at(it.as_of)}</h2>
<p class="soft then">As of {_at(it.as_of)}{_served(it, terms)}. Written anew every {it.every_s} seconds.
It may be wrong for {it.bound_s} seconds at most: after {_at(it.as_of + it.bound_s)} nothing of what it says here is known.</p>
<p class="soft later">This page is old, or the clock of this device is wrong. <a href="">Load it again</a>:
if nothing changes, nobody has told it anything since.</p>
</div>
<h2>Now</h2>
<dl>
{"".join(_now(it, part) for part in Part)}</dl>
<h2>What has been</h2>
{_history(it)}
{_contact(terms)}</main>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _sign(state: State) -> str:
    return f'<span class="sign" aria-hidden="true">{words.SIGNS[state]}</span>'


def _at(second: int) -> str:
    at = time.gmtime(second)
    return f'<time datetime="{time.strftime("%Y-%m-%dT%H:%M:%SZ", at)}">{time.strftime("%-d %B %Y %H:%M:%S", at)} UTC</time>'


def _served(it: Document, terms: StatusPage) -> str:
    place = terms.locations.get(it.serving or "")
    return f", served from {escape(place)}" if place else ""


def _now(it: Document, part: Part) -> str:
    standing = it.standing(part)
    state = State(standing.state)
    return (
        f'<div><dt>{words.NAMES[part]}</dt><dd class="then {state}">{_sign(state)}{words.NOW[part][state]}<br><small>Since {_at(standing.since)}</small></dd>'
        f'<dd class="later unknown">{_sign(State.UNKNOWN)}Not known.</dd></div>\n'
    )


def _history(it: Document) -> str:
    rows = sorted(it.incidents.values(), key=lambda each: each.began, reverse=True)
    if not rows:
        return '<p class="soft">Nothing that this page knows of.</p>'
    return f"<ul>\n{''.join(_row(each, it.as_of) for each in rows)}</ul>"


def _row(it: Incident, as_of: int) -> str:
    if it.ended is None:
        when = f'{_at(it.began)}, <span class="then">not over yet</span><span class="later">its end is not known</span>'
    elif it.ended == it.began:
        when = _at(it.began)
    else:
        when = f"{_at(it.began)}, for {words.span(it.ended - it.began)}"
    return f"<li>{words.incident(it, as_of)}<br><small>{when}</small></li>\n"


def _contact(terms: StatusPage) -> str:
    said = terms.contact
    if not said:
        return ""
    text = escape(said)
    if _LINK.fullmatch(said):
        text = f'<a href="{escape(said)}" rel="noopener">{text}</a>'
    elif _MAIL.fullmatch(said):
        text = f'<a href="mailto:{escape(said)}">{text}</a>'
    return f"<h2>Contact</h2>\n<p>{text}</p>\n"
