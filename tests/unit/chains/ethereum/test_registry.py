"""The registry: keys in, the same holdings out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.ethereum.registry import Registry
from chains.model import NATIVE, Asset, Holding, NetworkId

NETWORK = NetworkId("eip155:1")
TOKENS = [f"0x{number:040X}" for number in range(1, 4)]
ASSETS = [Asset(NETWORK, NATIVE, "ETH", 18), *(Asset(NETWORK, token, "T", 6) for token in TOKENS)]
ADDRESSES = [f"0x{number:040X}" for number in range(0xABC0, 0xABD0)]
holdings = st.sets(st.builds(Holding, st.just(NETWORK), st.sampled_from([NATIVE, *TOKENS]), st.sampled_from(ADDRESSES)))


def make() -> Registry:
    return Registry(NETWORK, ASSETS)


@given(holdings, holdings, holdings)
def test_watched_is_added_less_removed(first: set[Holding], gone: set[Holding], more: set[Holding]) -> None:
    """All keys stand for exactly what was added and not removed, whatever was reused meanwhile."""
    registry = make()
    registry.add(first)
    registry.remove(gone)
    keys, _ = registry.add(more)
    assert registry.holdings(keys) == more
    assert set(registry) == (first - gone) | more
    assert len(registry) == len(list(registry))
    assert all(holding not in registry for holding in gone - more)


@given(holdings)
def test_each_address_is_found_by_its_digits(watched: set[Holding]) -> None:
    """An address is found by its 40 lower-case digits, and its keys are its holdings."""
    registry = make()
    registry.add(watched)
    for address in {holding.address for holding in watched}:
        index = registry.find(address[2:].lower())
        assert index is not None
        assert registry.address(index) == address
        own = {holding for holding in watched if holding.address == address}
        assert registry.holdings(registry.keys_at(index)) == own


def test_the_holders_of_one_asset() -> None:
    """`keys_of` names the holders of one asset and of no other."""
    registry = make()
    mine = {Holding(NETWORK, TOKENS[1], ADDRESSES[0]), Holding(NETWORK, TOKENS[1], ADDRESSES[5])}
    registry.add([*mine, Holding(NETWORK, NATIVE, ADDRESSES[0]), Holding(NETWORK, TOKENS[0], ADDRESSES[5])])
    assert registry.holdings(registry.keys_of(2)) == mine


def test_the_slice_goes_round() -> None:
    """Slices of three over eight addresses name each once before any twice."""
    registry = make()
    registry.add([Holding(NETWORK, NATIVE, address) for address in ADDRESSES[:8]])
    seen = [index for _ in range(8) for index in registry.slice(3)]
    assert seen == [*range(8)] * 3
    assert make().slice(3) == []


def test_code_is_forgotten_with_its_address() -> None:
    """A slot that is reused does not inherit that its last owner was a contract."""
    registry = make()
    holding = Holding(NETWORK, NATIVE, ADDRESSES[0])
    _, fresh = registry.add([holding])
    registry.mark_code(next(iter(fresh)), has_code=True)
    assert registry.holdings(registry.contract_keys()) == {holding}
    registry.remove([holding])
    registry.add([Holding(NETWORK, NATIVE, ADDRESSES[1])])
    assert registry.contract_keys() == set()


def test_only_assets_of_this_chain() -> None:
    """An asset that the chain was not given is a ValueError, as is an asset list without the coin first."""
    with pytest.raises(ValueError, match="not an asset"):
        make().add([Holding(NETWORK, "0x" + "99" * 20, ADDRESSES[0])])
    with pytest.raises(ValueError, match="own coin"):
        Registry(NETWORK, ASSETS[1:])
