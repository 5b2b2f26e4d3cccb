"""Draws what a backtest found: ROC, calibration and cumulative log-loss, every model in each."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from streams.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from streams.backtest.outcomes import Result

SUFFIXES = (".png", ".html")
# Colours that the colour-blind tell apart; the dashes do without any.
_STYLES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"color": "#0072b2", "linestyle": "-", "linewidth": 2.6, "zorder": 4}, "o"),
    ({"color": "#d55e00", "linestyle": "-", "linewidth": 1.6, "zorder": 3}, "s"),
    ({"color": "#555555", "linestyle": (0, (1, 1.2)), "linewidth": 1.6, "zorder": 5}, "D"),
    ({"color": "#009e73", "linestyle": "--", "linewidth": 1.4}, "^"),
    ({"color": "#cc79a7", "linestyle": "-.", "linewidth": 1.4}, "v"),
)
"""Line and marker of each model."""
_REFERENCE: dict[str, Any] = {"color": "#999999", "linewidth": 1, "linestyle": (0, (6, 4))}
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>body {{ margin: 1rem }} svg {{ width: 100%; height: auto }}</style>
</head>
<body>
{svg}
</body>
</html>
"""


def check(path: Path) -> None:
    """Refuse a file that could not be drawn, before the work that it would hold is done.

    Raises:
        OperatorError: its suffix says no format, or its folder does not exist.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OperatorError(f"{path}: curves are written as {' or '.join(SUFFIXES)}.")
    if not path.parent.is_dir():
        raise OperatorError(f"{path}: there is no folder {path.parent} to write it to.")


def draw(result: Result, path: Path) -> None:
    """Write the curves of a backtest as PNG, or as HTML that needs no other file.

    Raises:
        OperatorError: as `check` says, or the file cannot be written.
    """
    check(path)
    title = f"{result.loans:,} loans, {result.bad:,} of them bad"
    drawn = _png(result, title) if path.suffix.lower() == ".png" else _html(result, title)
    try:
        path.write_bytes(drawn)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error}.") from None


def _png(result: Result, title: str) -> bytes:
    file = io.BytesIO()
    _figure(result, title).savefig(file, format="png", dpi=120)
    return file.getvalue()


def _html(result: Result, title: str) -> bytes:
    from matplotlib import rc_context

    file = io.BytesIO()
    # Letters stay letters, and the same result gives the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        _figure(result, title).savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue().decode()
    return _PAGE.format(title=title, svg=svg[svg.index("<svg") :]).encode()


def _figure(result: Result, title: str) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(15, 6.2), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
    figure.suptitle(title, fontsize=15)
    axes = figure.subplots(1, 3)
    for axis, panel in zip(axes, (_roc, _calibration, _log_loss), strict=True):
        panel(axis, result)
        axis.set_box_aspect(1)
        axis.grid(color="#e6e6e6", linewidth=0.8)
        axis.set_axisbelow(True)
    # Below the panels, where no curve can pass; the calibration's lines have their markers.
    lines, labels = axes[1].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _roc(axes: Axes, result: Result) -> None:
    for curves, (line, _) in zip(result.curves.values(), _STYLES, strict=True):
        good, bad = curves.roc
        axes.plot(100 * good, 100 * bad, **line)
    _diagonal(axes, 100.0)
    axes.set_title("ROC (reference: chance)")
    axes.set_xlabel("good loans above the threshold (%)")
    axes.set_ylabel("bad loans above the threshold (%)")


def _calibration(axes: Axes, result: Result) -> None:
    from streams.backtest.outcomes import BASE_RATE

    highest = 0.0
    for (name, curves), (line, marker) in zip(result.curves.items(), _STYLES, strict=True):
        expected = 100 * np.array([tenth.expected for tenth in curves.calibration])
        observed = 100 * np.array([tenth.observed for tenth in curves.calibration])
        if name == BASE_RATE:
            # It says the same of all loans, so which of them form a tenth is chance.
            loans = np.array([tenth.loans for tenth in curves.calibration])
            expected, observed = (
                np.array([(each @ loans) / loans.sum()]) for each in (expected, observed)
            )
        label = f"{name} (AUC {result.models[name].auc_mean:.3f})"
        axes.plot(expected, observed, marker=marker, markersize=5, label=label, **line)
        highest = max(highest, expected.max(), observed.max())
    _diagonal(axes, highest)
    axes.set_title("Calibration by decile (reference: as expected)")
    axes.set_xlabel("expected defaults (% of the decile)")
    axes.set_ylabel("observed defaults (% of the decile)")


def _log_loss(axes: Axes, result: Result) -> None:
    loans = np.arange(result.loans + 1)
    for curves, (line, _) in zip(result.curves.values(), _STYLES, strict=True):
        axes.plot(loans, np.concatenate(([0.0], curves.log_loss_so_far)), **line)
    axes.plot(loans, np.log(2) * loans, **_REFERENCE)
    axes.set_title("Cumulative log-loss (reference: always 50 %)")
    axes.set_xlabel("outcomes so far (loans)")
    axes.set_ylabel("log-loss so far (nats; lower is better)")


def _diagonal(axes: Axes, end: float) -> None:
    """Draw the line of equal percentages up to `end`, in a square panel that ends behind it."""
    axes.plot([0, end], [0, end], label="reference", **_REFERENCE)
    axes.set_xlim(-0.03 * end, 1.03 * end)
    axes.set_ylim(-0.03 * end, 1.03 * end)
