"""One look for every page we write: a template of `assets/` with its marks filled in and the style inside."""

import html
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"


def write(path: Path, template: str, **marks: str) -> None:
    """Fill `{{mark}}` in a template and write the page, aside first, then renamed. Marks are HTML already."""
    page = (ASSETS / template).read_text()
    marks["style"] = (ASSETS / "page.css").read_text()
    for mark, text in marks.items():
        page = page.replace(f"{{{{{mark}}}}}", text)
    aside = path.with_suffix(".html.part")
    aside.write_text(page)
    aside.replace(path)


def tiles(figures: list[tuple[str, str, str]]) -> str:
    """Figures in a row: what it is, the figure, and a remark."""
    return "".join(
        f"<div class=tile><b>{figure}</b><span>{what}</span><small>{remark}</small></div>"
        for what, figure, remark in figures
    )


def film(file: str, success: bool | None, title: str, said: str, note: str) -> str:
    """A card with a video, whether it is a success, failure or not judged (None), and what was said."""
    badge = {True: "success", False: "failure", None: "unjudged"}[success]
    return (
        f'<figure class={badge}><video src="{html.escape(file)}" controls muted loop preload=metadata>'
        f"</video><figcaption><i>{badge}</i><b>{html.escape(title)}</b><q>{html.escape(said)}</q>"
        f"<small>{html.escape(note)}</small></figcaption></figure>"
    )
