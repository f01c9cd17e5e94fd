"""Success rates as a bar chart in SVG."""

import html
from typing import Any

LEFT, WIDTH, ROW = 190, 520, 28  # pixels: where bars begin, the width of 100 %, the height of a row


def bars(rows: list[tuple[str, dict[str, Any], str]]) -> str:
    """Rates with their intervals; a row is a name, a rate and "task" or "start", its colour."""
    bottom = ROW * len(rows)
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
    parts += [_row(i * ROW + 6, *row) for i, row in enumerate(rows)]
    return "".join(parts) + "</svg>"


def _row(y: int, name: str, rate: dict[str, Any], colour: str) -> str:
    low, high, middle = LEFT + WIDTH * rate["low"], LEFT + WIDTH * rate["high"], y + 10
    return (
        f"<text x={LEFT - 10} y={y + 15} text-anchor=end>{html.escape(name)}</text>"
        f"<rect class={colour} x={LEFT} y={y} width={WIDTH * rate['rate']:.1f} height=20 rx=3 />"
        f'<path class=whisker d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8" />'
        f"<text class=value x={LEFT + WIDTH + 12} y={y + 15}>{rate['rate']:.0%}"
        f"<tspan class=axis> {rate['successes']}/{rate['episodes']}</tspan></text>"
    )
