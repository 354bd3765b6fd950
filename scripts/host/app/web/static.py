"""Files of the release that nginx serves itself, and what of them is compressed. Pure.

Nothing outside of `public/` is ever opened: nginx has taken `..` and `%2e` out of a path before it looks for a place, a link on the way is none (who
could put one into a release could else show any file of the host), and what begins with a dot is not there. What is not found the shop is asked for,
which may know it (another release's, while a new one comes host by host).
"""

from __future__ import annotations

from textwrap import indent

from ..config import Desired
from .parts import answers

CURRENT = "/opt/shop/current"
YEAR_S = 31_536_000
# What Sprockets, Propshaft, Vite and the like put between name and ending: a digest of eight hexadecimal digits or more. Digits alone are a date.
FINGERPRINT = r"-(?=[0-9]*[a-f])[0-9a-f]{8,64}(\.digested)?\.[^/]+$"
# Of /etc/nginx/mime.types, what is text. Pictures, films and fonts of today are compressed as they are; text/html is always among them.
TYPES = (
    "application/javascript",
    "application/json",
    "application/manifest+json",
    "application/xml",
    "image/svg+xml",
    "text/css",
    "text/javascript",
    "text/plain",
    "text/xml",
)
SHORTEST = 1000  # bytes: what fits into one packet anyway


def kept(desired: Desired) -> str:
    """How long a browser keeps a file, by its path."""
    return f"""  map $uri $static_cache {{
    default "public, max-age={desired.static_age_s}";
    "~{FINGERPRINT}" "public, max-age={YEAR_S}, immutable";
  }}
"""


def locations(desired: Desired) -> str:
    """A place for each folder. `@shop` is where the shop is asked."""
    return "".join(_folder(desired, name) for name in dict.fromkeys(desired.static_folders))


def _folder(desired: Desired, name: str) -> str:
    return f"""    location ^~ /{name}/ {{
      root {CURRENT}/public;
      disable_symlinks on from={CURRENT};
      try_files $uri @shop;
{indent(answers(desired), "  ")}
      add_header Cache-Control $static_cache;
{_compressed() if desired.gzip else ""}      location ~ "/[.]" {{
        return 404;
      }}
    }}
"""


def _compressed() -> str:
    """These files are the same for everybody and hold nothing that is secret, so that their length tells nothing (docs/decisions/0029)."""
    return f"""      gzip on;
      gzip_static on;
      gzip_vary on;
      gzip_proxied any;
      gzip_min_length {SHORTEST};
      gzip_types {" ".join(TYPES)};
"""
