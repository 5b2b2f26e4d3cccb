"""What learning is worth on real loans, and that the command says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scorers.measures import brier, log_loss
from streams.backtest.outcomes import CHAMPION, PRIOR, cross_validate
from tests.backtest.layouts import LAYOUTS
from tests.backtest.outcomes import backtest
from tests.real_data import DATA

MUST_REACH = {"invoices": 0.86, "czech_bank": 0.88}
DAY_MS = 86_400_000
START = 1_600_000_000_000


@pytest.mark.parametrize("name", LAYOUTS)
def test_learning_reaches_its_mark_on_real_loans(name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"there is no {DATA / name}: set DUOSHOU_SHARED_DATA to the folder with it")
    models = backtest(name, DATA, DATA).models
    learner, prior = models[CHAMPION], models[PRIOR]
    assert learner.auc_mean >= MUST_REACH[name]
    assert learner.auc_low < learner.auc_mean < learner.auc_high
    assert learner.log_loss < prior.log_loss
    assert learner.brier < prior.brier


def recorded(folder: Path, *, merchants: int, first: int = 0) -> Path:
    """Synthetic merchants: every third one pays back nothing, and has only one payment a week."""
    folder.mkdir()
    lines, loans = [], []
    for number in range(first, first + merchants):
        bad = number % 3 == 0
        for n in range(0, 28, 7 if bad else 1):
            at = START + n * DAY_MS + number
            lines.append(
                (at, {"payment_id": f"{number}-{n}", "kind": "payment", "amount": 500 + number,
                      "merchant_id": f"m{number}", "currency": "CNY", "occurred_at": at})
            )  # fmt: skip
        drawn = START + 28 * DAY_MS
        loans.append(f"l{number},m{number},{drawn},{drawn + DAY_MS},{int(bad)}\n")
    events = [json.dumps(event) + "\n" for _, event in sorted(lines, key=lambda each: each[0])]
    (folder / "events.jsonl").write_text("".join(events))
    (folder / "loans.csv").write_text(
        "loan_id,merchant_id,drawn_at,ended_at,bad\n" + "".join(loans)
    )
    return folder


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streams.commands.main", "backtest", "outcomes", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_learns_from_one_folder_and_scores_another(tmp_path: Path) -> None:
    train = recorded(tmp_path / "train", merchants=30)
    score = recorded(tmp_path / "score", merchants=12, first=100)
    done = command("--train", str(train), "--score", str(score), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["auc_mean"] == 1.0
    assert found["log_loss"] < found["log_loss_prior"]
    assert found["brier"] < found["brier_prior"]
    tenths = found["calibration"]
    assert [tenth["decile"] for tenth in tenths] == list(range(1, 11))
    assert sum(tenth["loans"] for tenth in tenths) == 12
    assert tenths[0]["observed"] == 0.0
    assert tenths[-1]["observed"] == 1.0
    assert tenths[0]["expected"] < tenths[-1]["expected"]


def test_the_command_cross_validates_one_folder_and_shows_every_model(tmp_path: Path) -> None:
    train = recorded(tmp_path / "train", merchants=30)
    done = command("--train", str(train), "--score", str(train))
    assert done.returncode == 0, done.stderr
    for name in ("learner", "prior", "base rate", "SGD", "adaptive tree"):
        assert name in done.stdout
    assert "30 loans, 10 of them bad" in done.stdout
    assert "expected %" in done.stdout
    assert "observed %" in done.stdout


def test_the_command_draws_what_it_found(tmp_path: Path) -> None:
    train = recorded(tmp_path / "train", merchants=30)
    score = recorded(tmp_path / "score", merchants=12, first=100)
    curves = tmp_path / "curves.html"
    done = command("--train", str(train), "--score", str(score), "--curves", str(curves), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["auc_mean"] == 1.0
    assert "12 loans, 4 of them bad" in curves.read_text()
    assert "learner (AUC 1.000)" in curves.read_text()


def test_a_suffix_that_says_no_format_is_refused_before_any_work(tmp_path: Path) -> None:
    train = tmp_path / "train"
    train.mkdir()
    curves = tmp_path / "curves.pdf"
    done = command("--train", str(train), "--score", str(train), "--curves", str(curves))
    assert done.returncode == 1
    assert done.stderr == f"{curves}: curves are written as .png or .html.\n"
    assert not curves.exists()


def test_the_curves_of_held_folds_end_where_the_figures_say(tmp_path: Path) -> None:
    from streams.backtest.recorded import load

    result = cross_validate(load(recorded(tmp_path / "train", merchants=31)).examples, lambda: None)
    for name, quality in result.models.items():
        curves = result.curves[name]
        assert np.trapezoid(curves.roc.bad, curves.roc.good) == pytest.approx(quality.auc_mean)
        assert len(curves.log_loss_so_far) == result.loans
        assert curves.log_loss_so_far[-1] / result.loans == pytest.approx(quality.log_loss)
        observed = sum(tenth.loans * tenth.observed for tenth in curves.calibration)
        assert observed == pytest.approx(result.bad)


def test_too_few_merchants_for_folds_are_an_error_that_says_so(tmp_path: Path) -> None:
    train = recorded(tmp_path / "train", merchants=6)
    done = command("--train", str(train), "--score", str(train))
    assert done.returncode == 1
    assert "5 folds need 5 merchants of each outcome" in done.stderr


def test_loans_that_all_ended_alike_cannot_be_ranked(tmp_path: Path) -> None:
    train = recorded(tmp_path / "train", merchants=30)
    score = recorded(tmp_path / "score", merchants=2, first=100)
    done = command("--train", str(train), "--score", str(score))
    assert done.returncode == 1
    assert "score: the loans to score must not all have ended alike" in done.stderr


def test_nobody_is_scored_by_a_model_that_has_learnt_from_the_same_merchant(
    tmp_path: Path,
) -> None:
    """Outcomes without any pattern: who scores them better than chance has seen them."""
    from streams.backtest.recorded import load

    examples = load(recorded(tmp_path / "train", merchants=60)).examples
    same = [
        example._replace(features=dict.fromkeys(example.features, None)) for example in examples
    ]
    quality = cross_validate(same, lambda: None).models[CHAMPION]
    assert quality.auc_mean == pytest.approx(0.5)
    assert quality.log_loss >= log_loss([1] + [0] * 2, [1 / 3] * 3) - 0.02
    assert quality.brier >= brier([1] + [0] * 2, [1 / 3] * 3) - 0.01
