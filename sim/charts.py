"""Success rates as bars or curves in SVG."""

import html
from typing import Any

LEFT, WIDTH, ROW = 190, 520, 28  # pixels: where bars begin, the width of 100 %, the height of a row
FITS, LINE = 22, 22  # characters of a name that fit beside its bar, and the height [pixels] of a name that stands above


def bars(rows: list[tuple[str, dict[str, Any], str]]) -> str:
    """Rates with their intervals; a row is a name, a rate and "task" or "start", its colour.

    Where a name does not fit beside its bar, names stand above the bars.
    """
    above = LINE if any(len(name) > FITS for name, _, _ in rows) else 0
    bottom = (ROW + above) * len(rows)
    parts = [
        f'<svg viewBox="0 0 {LEFT + WIDTH + 140} {bottom + 34}" role="img" '
        'aria-label="success rates with their 95 % intervals">'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = LEFT + WIDTH * share
        parts.append(
            f"<line class=grid x1={x} x2={x} y1=4 y2={bottom + 8} />"
            f"<text class=axis x={x} y={bottom + 26} text-anchor=middle>{share:.0%}</text>"
        )
    parts += [_row((i + 1) * (ROW + above) - ROW + 6, bool(above), *row) for i, row in enumerate(rows)]
    return "".join(parts) + "</svg>"


def _row(y: int, above: bool, name: str, rate: dict[str, Any], colour: str) -> str:
    low, high, middle = LEFT + WIDTH * rate["low"], LEFT + WIDTH * rate["high"], y + 10
    x, name_y, anchor = (LEFT, y - 6, "start") if above else (LEFT - 10, y + 15, "end")
    label = f"<text x={x} y={name_y} text-anchor={anchor}>{html.escape(name)}</text>"
    if not rate["episodes"]:
        return f"{label}<text class=value x={LEFT + WIDTH + 12} y={y + 15}>–</text>"
    return (
        f"{label}<rect class={colour} x={LEFT} y={y} width={WIDTH * rate['rate']:.1f} height=20 rx=3 />"
        f'<path class=whisker d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8" />'
        f"<text class=value x={LEFT + WIDTH + 12} y={y + 15}>{rate['rate']:.0%}"
        f"<tspan class=axis> {rate['successes']}/{rate['episodes']}</tspan></text>"
    )


HEIGHT, COLOURS = 240, ("task", "start", "third")  # pixels; classes of the style


def curves(series: dict[str, list[tuple[float, dict[str, Any]]]], axis: str) -> str:
    """Rates with their intervals over a number, one curve a series; `axis` names the number."""
    xs = [x for points in series.values() for x, _ in points]
    low, span = min(xs), (max(xs) - min(xs)) or 1

    def place(x: float, rate: float) -> tuple[float, float]:
        return 60 + WIDTH * (x - low) / span, 10 + HEIGHT * (1 - rate)

    parts = [
        f'<svg viewBox="0 0 {WIDTH + 220} {HEIGHT + 60}" role="img" '
        f'aria-label="success rates with their 95 % intervals over {html.escape(axis)}">'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = place(low, share)[1]
        parts.append(
            f"<line class=grid x1=60 x2={60 + WIDTH} y1={y} y2={y} />"
            f"<text class=axis x=52 y={y + 4} text-anchor=end>{share:.0%}</text>"
        )
    for x in sorted(set(xs)):
        parts.append(f"<text class=axis x={place(x, 0)[0]:.1f} y={HEIGHT + 30} text-anchor=middle>{x:g}</text>")
    parts.append(f"<text class=axis x={60 + WIDTH / 2} y={HEIGHT + 50} text-anchor=middle>{html.escape(axis)}</text>")
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = [place(x, r["rate"]) for x, r in points]
        parts.append(f'<polyline class="curve {colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in at)}" />')
        for x, r in points:
            (left, bottom), (_, top) = place(x, r["low"]), place(x, r["high"])
            parts.append(f'<path class=whisker d="M{left:.1f} {bottom:.1f}V{top:.1f}" />')
        y = 20 + 20 * number
        parts.append(
            f'<line class="curve {colour}" x1={WIDTH + 80} x2={WIDTH + 100} y1={y} y2={y} />'
            f"<text class=value x={WIDTH + 108} y={y + 4}>{html.escape(name)}</text>"
        )
    return "".join(parts) + "</svg>"
