"""`make backtest-outcomes TRAIN=DIR SCORE=DIR`: both sets of real data, one line of JSON.

Each folder holds `invoices/` and `czech_bank/`. Where TRAIN and SCORE are the same folder: five
folds by merchant, five seeds; else what is learnt from the one is scored on the other.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from streams.backtest.outcomes import Result, cross_validate, train_and_score
from streams.backtest.recorded import Recording, load
from tests.backtest.layouts import LAYOUTS


def recording(name: str, source: Path) -> Recording:
    with TemporaryDirectory() as folder:
        LAYOUTS[name](source / name, Path(folder))
        return load(Path(folder))


def backtest(name: str, train: Path, score: Path) -> Result:
    learnt = recording(name, train)
    if train.resolve() == score.resolve():
        return cross_validate(learnt.examples, lambda: None)
    return train_and_score(learnt.examples, recording(name, score).examples)


def main(train: str, score: str) -> None:
    results = {name: backtest(name, Path(train), Path(score)) for name in LAYOUTS}
    print(json.dumps({name: result.summary() for name, result in results.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
