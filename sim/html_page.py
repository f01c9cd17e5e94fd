"""HTML pages of one look: a template of `assets/` whose marks are filled in, with the style inside."""

import html
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def write(path: Path, template: str, **marks: str) -> None:
    """Fill each `{{mark}}` of a template with its HTML and write the page under another name, then rename it."""
    page = (ASSETS / template).read_text()
    marks["style"] = (ASSETS / "page.css").read_text()
    for mark, text in marks.items():
        page = page.replace(f"{{{{{mark}}}}}", text)
    part = path.with_suffix(".html.part")
    part.write_text(page)
    part.replace(path)


def tiles(figures: list[tuple[str, str, str]]) -> str:
    """Figures in a row; each is a name, the figure and a remark."""
    return "".join(
        f"<div class=tile><b>{figure}</b><span>{name}</span><small>{remark}</small></div>"
        for name, figure, remark in figures
    )


def film(file: str, success: bool | None, badge: str, title: str, instruction: str, note: str) -> str:
    """A card with a video, a badge coloured by its success (None: not judged) and the instruction."""
    colour = {True: "success", False: "failure", None: ""}[success]
    return (
        f'<figure><video src="{html.escape(file)}" controls muted loop preload=metadata></video>'
        f'<figcaption><span class="badge {colour}">{html.escape(badge)}</span><b>{html.escape(title)}</b>'
        f"<q>{html.escape(instruction)}</q><small>{html.escape(note)}</small></figcaption></figure>"
    )
