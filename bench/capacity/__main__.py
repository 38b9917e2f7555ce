"""`python -m bench.capacity`: write docs/capacity.md."""

from pathlib import Path
from typing import Annotated

import typer

from bench.capacity.assumptions import Assumptions
from bench.capacity.figures import Figures
from bench.capacity.page import page

DOCS = Path(__file__).parents[2] / "docs"


def main(
    figures: Annotated[Path, typer.Option(help="Folder of the JSON files.")] = DOCS / "benchmarks",
    out: Annotated[Path, typer.Option(help="The page.")] = DOCS / "capacity.md",
) -> None:
    """Compute what a province needs from what was measured, and write the page."""
    out.write_text(page(Figures.read(figures), Assumptions()))
    typer.echo(f"{out} is written.")


if __name__ == "__main__":
    typer.run(main)
