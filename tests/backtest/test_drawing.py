"""The curves are written as what the suffix says, and hold every model."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from streams.backtest.curves import curves
from streams.backtest.drawing import check, draw
from streams.backtest.outcomes import MODELS, Quality, Result
from streams.errors import OperatorError

LOANS = 40


@pytest.fixture
def result() -> Result:
    random = np.random.default_rng(1)
    bad = np.arange(LOANS) % 4 == 0
    drawn = {
        name: curves([(bad, scores)], [(bad, scores)])
        for name in MODELS
        for scores in (np.clip(random.random(LOANS) * 0.6 + 0.3 * bad, 0.01, 0.99),)
    }
    quality = Quality(auc_mean=0.8, auc_low=0.7, auc_high=0.9, log_loss=0.4, brier=0.1, ks=0.5)
    return Result(LOANS, int(bad.sum()), dict.fromkeys(MODELS, quality), drawn)


def test_a_png_is_an_image_with_something_on_it(result: Result, tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = tmp_path / "curves.png"
    draw(result, path)
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert 30_000 < path.stat().st_size < 1_000_000
    pixels = imread(path)
    height, width, _ = pixels.shape
    assert (width, height) == (1800, 744)
    # Nothing is cut off: the outermost pixels are blank, the panels are not.
    for edge in (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:]):
        assert (edge == 1).all()
    for third in range(3):
        assert (pixels[:, third * width // 3 : (third + 1) * width // 3] != 1).mean() > 0.01


def svg(path: Path) -> ET.Element:
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    return ET.fromstring(page[page.index("<svg") : page.index("</svg>") + len("</svg>")])


def test_html_holds_the_curves_their_units_and_the_number_of_loans(
    result: Result, tmp_path: Path
) -> None:
    path = tmp_path / "curves.html"
    draw(result, path)
    texts = [each.text for each in svg(path).iter("{http://www.w3.org/2000/svg}text")]
    assert "40 loans, 10 of them bad" in texts
    for label in (
        *(f"{name} (AUC 0.800)" for name in MODELS),
        "reference",
        "bad loans above the threshold (%)",
        "observed defaults (% of the decile)",
        "log-loss so far (nats; lower is better)",
    ):
        assert label in texts
    # A line each: five models and the reference in three panels.
    lines = [
        each
        for each in svg(path).iter("{http://www.w3.org/2000/svg}g")
        if re.fullmatch(r"axes_[123]", each.get("id", ""))
        for each in each
        if re.fullmatch(r"line2d_\d+", each.get("id", ""))
    ]
    assert len(lines) == 3 * (len(MODELS) + 1)


def test_html_loads_nothing_and_is_the_same_for_the_same_result(
    result: Result, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.html", tmp_path / "two.HTML"
    draw(result, one)
    draw(result, two)
    assert one.read_bytes() == two.read_bytes()
    assert not re.search(r'<(script|link|img|iframe)|(src|href)="(?!#)', one.read_text())


@pytest.mark.parametrize("name", ["curves.pdf", "curves", "png", ".png"])
def test_another_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"curves are written as \.png or \.html"):
        check(tmp_path / name)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"there is no folder .*nowhere"):
        check(tmp_path / "nowhere" / "curves.png")


def test_a_file_that_cannot_be_written_is_an_error_that_says_so(
    result: Result, tmp_path: Path
) -> None:
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(OperatorError, match="cannot be written"):
        draw(result, tmp_path / "curves.png")


def test_neither_the_worker_nor_a_backtest_without_curves_loads_the_plotting_library() -> None:
    code = (
        "import sys\n"
        "import streams.backtest.drawing, streams.backtest.outcomes, streams.commands.backtest\n"
        "import streams.commands.worker, streams.worker.app, streams.worker.run\n"
        "assert 'matplotlib' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
