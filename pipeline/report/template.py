"""A page from a template: one HTML file, filled and written whole."""

from pathlib import Path
from typing import Any

import jinja2

from pipeline.run.files import atomic_write


def fill_template(target: Path, template: str, page: dict[str, Any], folder: Path = Path(__file__).parent) -> None:
    """Write `target` from a template of a folder, with what it shows; the same page gives the same bytes.

    What a template includes, such as the style, may also lie beside the report's own. A name that the page lacks is an
    error of ours, and text is escaped.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    html = environment.get_template(template).render(page=page)
    with atomic_write(target, text=True) as handle:
        handle.write(html + "\n")
