"""The storm brake: few wallets never trip it, many always do, and it does not flutter."""

from hypothesis import given
from hypothesis import strategies as st

from config.model import Brake
from watcher.brake import has_passed, is_storm

BRAKES = st.builds(Brake, share_percent=st.integers(1, 100), minimum=st.integers(2, 1000))
COUNTS = st.integers(0, 10**6)


@given(BRAKES, COUNTS, COUNTS)
def test_one_wallet_is_no_storm(brake: Brake, turned: int, wallets: int) -> None:
    """Below the minimum nothing is held, whatever the share; nor at the share itself."""
    if turned < brake.minimum or turned * 100 <= brake.share_percent * wallets:
        assert not is_storm(brake, turned, wallets)
    else:
        assert is_storm(brake, turned, wallets)


@given(BRAKES, COUNTS, COUNTS, COUNTS)
def test_more_is_not_less_of_a_storm(brake: Brake, turned: int, more: int, wallets: int) -> None:
    """A storm with more wallets in it is a storm."""
    assert not is_storm(brake, turned, wallets) or is_storm(brake, turned + more, wallets)


@given(BRAKES, COUNTS, COUNTS)
def test_what_begins_a_storm_does_not_end_it(brake: Brake, turned: int, wallets: int) -> None:
    """While as many are short as would hold the asks, they are not let go; once nobody is short, they are."""
    assert not (is_storm(brake, turned, wallets) and has_passed(brake, turned, wallets))
    assert has_passed(brake, 0, wallets)


@given(COUNTS, COUNTS)
def test_a_share_of_all_never_holds(turned: int, wallets: int) -> None:
    """100 percent switches the brake off: more than all wallets can't turn short."""
    assert not is_storm(Brake(share_percent=100, minimum=2), min(turned, wallets), wallets)
