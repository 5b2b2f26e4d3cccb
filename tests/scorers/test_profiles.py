from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scorers.ledger import Ledger
from scorers.merchants import MerchantEvent, MerchantKind
from scorers.profiles import MOST_CODES, Profile, ProfileBook


def book() -> ProfileBook:
    return ProfileBook(Ledger().book("profiles", Profile))


def event(
    kind: MerchantKind, code: str | None = None, category: str | None = None
) -> MerchantEvent:
    return MerchantEvent("e", kind, "m1", 1, category=category, code_id=code)


def bound(code: str) -> MerchantEvent:
    return event(MerchantKind.CODE_BOUND, code)


def unbound(code: str) -> MerchantEvent:
    return event(MerchantKind.CODE_UNBOUND, code)


def test_nothing_is_on_record_of_a_stranger() -> None:
    assert book().of("m1") == Profile()


def test_codes_are_kept_in_the_order_in_which_they_were_bound() -> None:
    profiles = book()
    for offset, each in enumerate([bound("b"), bound("a"), bound("b"), unbound("b"), bound("c")]):
        assert profiles.apply(each, (0, offset)) is None
    assert profiles.of("m1").codes == ("a", "c")
    assert profiles.of("m2").codes == ()


def test_a_code_that_is_not_bound_cannot_be_unbound() -> None:
    profiles = book()
    assert profiles.apply(unbound("a"), (0, 0)) == "not_bound"
    assert profiles.of("m1") == Profile()


def test_one_code_too_many_is_refused_until_another_is_unbound() -> None:
    profiles = book()
    for number in range(MOST_CODES):
        assert profiles.apply(bound(f"code-{number}"), (0, number)) is None
    assert profiles.apply(bound("one-more"), (0, 100)) == "too_many_codes"
    assert profiles.apply(bound("code-3"), (0, 101)) is None
    assert profiles.apply(unbound("code-3"), (0, 102)) is None
    assert profiles.apply(bound("one-more"), (0, 103)) is None


def test_a_category_stays_until_another_is_registered() -> None:
    profiles = book()
    for offset, category in enumerate(["noodles", None, "tea"]):
        profiles.apply(event(MerchantKind.REGISTERED, category=category), (0, offset))
        assert profiles.of("m1").category == ("tea" if category == "tea" else "noodles")


def test_consent_and_closing_say_nothing_for_the_record() -> None:
    profiles = book()
    for offset, kind in enumerate([MerchantKind.ENROLLED, MerchantKind.CLOSED]):
        assert profiles.apply(event(kind), (0, offset)) is None
    assert profiles.of("m1") == Profile()


_EVENTS = st.lists(
    st.builds(
        event,
        st.sampled_from([MerchantKind.CODE_BOUND] * 2 + [MerchantKind.CODE_UNBOUND]),
        st.sampled_from("abc"),
    )
)


@given(_EVENTS, st.data())
def test_events_that_are_relayed_again_change_nothing(
    events: list[MerchantEvent], data: st.DataObject
) -> None:
    once, again = book(), book()
    for offset, each in enumerate(events):
        once.apply(each, (1, offset))
        again.apply(each, (1, offset))
        for repeated in data.draw(st.lists(st.integers(0, offset), max_size=3)):
            before = again.of("m1")
            again.apply(events[repeated], (1, repeated))
            if repeated <= before.source[1]:
                assert again.of("m1") == before
    assert once.of("m1").codes == again.of("m1").codes
