"""The demo's page: history, median and bands of some products, as pictures inside one HTML file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.demo.tables import PicturedForecast
    from consumer.forecasting.types import FloatArray, WeekArray

INK: Final = "#334155"
BLUE: Final = "#2563eb"
TEMPLATE: Final = Path(__file__).with_name("page.html.j2")


def write_page(path: Path, forecasts: Sequence[PicturedForecast]) -> None:
    """Write one self-contained page; nothing in it is loaded from elsewhere.

    Raises:
        OSError: The file cannot be written.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    pictures = [{"forecast": forecast, "svg": draw(forecast)} for forecast in forecasts]
    path.write_text(template.render(pictures=pictures), encoding="utf-8")


def draw(forecast: PicturedForecast) -> str:
    """One product as SVG."""
    # The same input gives the same file: no date in it, and ids that do not depend on chance.
    with mpl.rc_context({"svg.hashsalt": forecast.name, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(5.4, 2.6), layout="constrained")
        axes = figure.subplots()
        weeks, ahead = _days(forecast.weeks), _days(forecast.forecast_weeks)
        p10, p25, p50, p75, p90 = forecast.quantiles.T
        axes.plot(weeks, forecast.volume, color=INK, linewidth=1.2, label="sold")
        axes.fill_between(ahead, p10, p90, color=BLUE, alpha=0.15, linewidth=0, label="p10 to p90")
        axes.fill_between(ahead, p25, p75, color=BLUE, alpha=0.25, linewidth=0, label="p25 to p75")
        axes.plot(ahead, p50, color=BLUE, linewidth=1.8, label="p50")
        axes.axvline(ahead[0] - 3.5, color=INK, linewidth=0.6, linestyle=":")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("units a week")
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xticks(*_quarters(forecast))
        axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper left", bbox_to_anchor=(0, 1.2))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _days(weeks: WeekArray) -> FloatArray:
    """Days since 1970, which is how matplotlib counts dates."""
    return weeks.astype("datetime64[D]").astype(float)


def _quarters(forecast: PicturedForecast) -> tuple[FloatArray, list[str]]:
    """A tick every three months, and its label."""
    months = np.arange(forecast.weeks[0], forecast.forecast_weeks[-1] + 1, dtype="datetime64[M]")[::3]
    return _days(months), [f"{month:%b %y}" for month in months.tolist()]
