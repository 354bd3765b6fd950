"""What is drawn of an event: its links as they ran, and what customers met meanwhile. SVG within the page; every figure is in a text as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contract.report import Samples, Stage
from scripts.ctl.reports.markup import Markup, tag, wide

WIDTH, LEFT, BAR, STEP, HIGH = 900.0, 190.0, 14.0, 22.0, 120.0
TICKS = 6


def timeline(stages: Sequence[Stage], seconds: float) -> Markup:
    """A bar for each link, from begin to end, in seconds since the beginning. One of which nobody has seen the end reaches to the edge."""
    end = max([seconds, 1.0, *(it.ended_s or 0.0 for it in stages)])
    height = STEP * len(stages) + 30
    bars = [_bar(it, number, end) for number, it in enumerate(stages)]
    return _drawn("Links as they ran", height, [*bars, *_axis(0.0, end, STEP * len(stages) + 8)])


def _bar(it: Stage, number: int, end: float) -> Markup:
    begun = it.begun_s if it.begun_s is not None else it.ended_s or 0.0
    ended = it.ended_s if it.ended_s is not None else end
    top, left = STEP * number + 4, _across(begun, 0.0, end)
    told = f"{it.link} ({it.site or '?'}): {it.state}, {begun:.1f} s to {'?' if it.ended_s is None else f'{it.ended_s:.1f} s'}"
    wide = max(_across(ended, 0.0, end) - left, 2.0)
    bar = tag("rect", tag("title", told), class_=it.state, x=_f(left), y=_f(top), width=_f(wide), height=_f(BAR))
    return tag("g", tag("text", f"{it.run}. {it.site or ''} {it.link}"[:30], x="0", y=_f(top + BAR - 3)), bar)


def rates(samples: Samples) -> Markup:
    """A column for each piece of time: what was answered well, and on top of it what was not."""
    points, wide = samples.points, float(samples.every_s)
    begin, end = points[0].at_s, points[-1].at_s + wide
    most = max(*(it.done + it.failed for it in points), 1)
    columns = []
    for it in points:
        left = _across(it.at_s, begin, end)
        size = max(_across(it.at_s + wide, begin, end) - left - 0.5, 0.5)
        good, bad = it.done * HIGH / most, it.failed * HIGH / most
        for kind, height, top in (("done", good, HIGH - good), ("failed", bad, HIGH - good - bad)):
            if height:
                columns.append(tag("rect", class_=kind, x=_f(left), y=_f(top + 10), width=_f(size), height=_f(height)))
    told = f"{samples.what}s in {samples.every_s} s"
    labels = [tag("text", told, x="0", y="20"), tag("text", f"{most} at most", x="0", y="36")]
    return _drawn(told, HIGH + 40, [*labels, *columns, *_axis(begin, end, HIGH + 12)])


def _axis(begin: float, end: float, top: float) -> Iterator[Markup]:
    yield tag("line", class_="axis", x1=_f(LEFT), y1=_f(top), x2=_f(WIDTH), y2=_f(top))
    for number in range(TICKS + 1):
        at = begin + (end - begin) * number / TICKS
        anchor = "start" if not number else "end" if number == TICKS else "middle"
        yield tag("text", f"{at:.0f} s", x=_f(_across(at, begin, end)), y=_f(top + 14), text_anchor=anchor)


def _across(at: float, begin: float, end: float) -> float:
    part = (at - begin) / (end - begin) if end > begin else 0.0
    return LEFT + (WIDTH - LEFT) * min(max(part, 0.0), 1.0)


def _drawn(title: str, height: float, inside: Sequence[Markup]) -> Markup:
    return wide(tag("svg", tag("title", title), inside, viewBox=f"0 0 {WIDTH:.0f} {height:.0f}", role="img"))


def _f(number: float) -> str:
    return f"{number:.1f}"
