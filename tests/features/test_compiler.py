from pathlib import Path

import pytest

from features.compiler import digest_of_sources

KERNEL = "from features.compiler import kernel\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("features", "scorers", "streams/wire", "streams/worker"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "features" / "update.py").write_text(KERNEL)
    (tmp_path / "features" / "layout.py").write_text("DAYS = 35\n")
    (tmp_path / "streams" / "worker" / "app.py").write_text("import faust\n")
    return tmp_path


def test_a_change_beside_a_kernel_changes_the_cache(root: Path) -> None:
    before = digest_of_sources(root)
    (root / "features" / "layout.py").write_text("DAYS = 36\n")
    assert digest_of_sources(root) != before


def test_a_change_far_from_kernels_does_not(root: Path) -> None:
    before = digest_of_sources(root)
    (root / "streams" / "worker" / "app.py").write_text("import faust, mode\n")
    assert digest_of_sources(root) == before


def test_a_new_kernel_in_another_package_changes_the_cache(root: Path) -> None:
    before = digest_of_sources(root)
    (root / "streams" / "wire" / "records.py").write_text(KERNEL)
    assert digest_of_sources(root) != before


def test_the_same_sources_elsewhere_have_the_same_digest(root: Path) -> None:
    before = digest_of_sources(root)
    assert digest_of_sources(root.rename(root.with_name("elsewhere"))) == before
