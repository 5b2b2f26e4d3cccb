"""Where the real data lies that some tests check against; they skip where it is absent."""

import os
from pathlib import Path

DATA = Path(
    os.environ.get("DUOSHOU_SHARED_DATA", Path(__file__).resolve().parents[1] / "../shared/data")
)
