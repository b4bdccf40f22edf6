"""A plot as SVG: lines over a logarithmic axis. Readable on light and on dark."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 360, 60, 230, 40, 50
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2", "#b07aa1", "#9c755f")


def plot(title: str, across: str, up: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Each line through its points (x > 0, y ≥ 0), named at its end. The y axis begins at zero."""
    points = [point for line in lines.values() for point in line]
    low, high = log10(min(x for x, _ in points)), log10(max(x for x, _ in points))
    top = max(y for _, y in points) * 1.1

    def at(x: float, y: float) -> tuple[float, float]:
        right = LEFT + (log10(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        return round(right, 1), round(HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        "<style>text{fill:#333}path{fill:none;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>",
        f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{escape(across)}</text><text x="4" y="{TOP - 6}">{escape(up)}</text>',
    ]
    for power in range(round(low), round(high) + 1):
        x, y = at(10.0**power, 0)
        parts.append(f'<path d="M{x} {y}V{TOP}" stroke="#8884"/><text x="{x}" y="{y + 16}" text-anchor="middle">{10**power:,}</text>')
    for step in range(5):
        _, y = at(10.0**low, top * step / 4)
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{top * step / 4:.1f}</text>')
    ends = sorted((at(*line[-1])[1], name) for name, line in lines.items())
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = "L".join(f"{x} {y}" for x, y in (at(*point) for point in line))
        label = TOP + 14 + 18 * [one for _, one in ends].index(name)
        parts.append(f'<path d="M{path}" stroke="{colour}"/>')
        parts.append(f'<path d="M{WIDTH - RIGHT + 14} {label - 4}h16" stroke="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 36}" y="{label}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
