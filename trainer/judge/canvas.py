"""Pictures that come out the same wherever they are drawn: style, frame and file of every plot."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from trainer.fit.checkpoint import write_atomically

RESEARCH_USE: Final = "Research use, not a diagnosis"
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by colour-blind readers too (Okabe and Ito 2008)."""
QUIET: Final = "#6b7280"
INK: Final = "#111827"
DOTS_PER_INCH: Final = 150
STYLE: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9.0,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": INK,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e5e7eb",
        "grid.linewidth": 0.6,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "legend.fontsize": 8.0,
        "text.color": INK,
        "text.parse_math": False,  # names of data sets are text, never markup
        "figure.facecolor": "white",
        "figure.dpi": DOTS_PER_INCH,
        "savefig.dpi": DOTS_PER_INCH,
        "path.simplify": True,
    }
)
HEAD: Final = 0.62
"""Inches above the axes for title and subtitle."""
FOOT: Final = 0.20
"""Inches below the axes for the line about research use."""


@contextmanager
def drawn(file: Path, title: str, subtitle: str, size: tuple[float, float]) -> Iterator[Figure]:
    """Open a figure, frame it with its title and write it as PNG when the block is left.

    Parameters
    ----------
    file : Path
        Replaced as a whole; nothing is written when the block raises.
    title, subtitle : str
        The subtitle says how many images and groups the picture rests on.
    size : (width, height)
        Inches.

    Yields
    ------
    Figure
        With constrained layout; add axes with ``subplots``.
    """
    defaults: dict[Any, Any] = {key: value for key, value in mpl.rcParamsDefault.items() if key != "backend"}
    with mpl.rc_context(defaults | dict(STYLE)):
        width, height = size
        layout = ConstrainedLayoutEngine(rect=(0, FOOT / height, 1, 1 - (HEAD + FOOT) / height))
        figure = Figure(figsize=size, layout=layout)
        edge = 0.12 / width
        figure.text(edge, 1 - 0.10 / height, title, va="top", fontsize=11, fontweight="bold")
        figure.text(edge, 1 - 0.36 / height, subtitle, va="top", fontsize=8, color=QUIET)
        figure.text(1 - edge, 0.07 / height, RESEARCH_USE, ha="right", fontsize=6.5, color=QUIET)
        yield figure
        write_atomically(file, _png(figure))


def _png(figure: Figure) -> bytes:
    """Return the file's bytes; without version and date the same picture has the same bytes."""
    content = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def unit_square(axes: Axes, across: str, up: str) -> None:
    """Give axes the range 0 to 1 both ways, equal in length, with their labels."""
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=across, ylabel=up, aspect="equal")
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
