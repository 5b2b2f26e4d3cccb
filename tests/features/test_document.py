from features.document import PAGE, page
from features.layout import FIELDS, ROW
from features.vector import FEATURES
from features.views import Row, RowViews


def test_the_page_of_features_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m features.document"


def test_every_feature_says_its_unit_and_its_rule() -> None:
    assert all(feature.unit and feature.rule for feature in FEATURES)
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)


def test_every_field_says_what_it_holds_and_kernels_know_its_name() -> None:
    names = [field.name for field in FIELDS]
    assert all(field.doc for field in FIELDS)
    assert list(ROW.names or ()) == names
    assert list(Row.__annotations__) == names
    assert list(RowViews.__annotations__) == names


def test_a_row_stays_below_one_and_a_half_kilobytes() -> None:
    assert ROW.itemsize <= 1408
