"""The shipped catalogue: each fact that money depends on."""

import re

import pytest
from solders.pubkey import Pubkey

from chains.addresses import parse_address
from chains.amounts import parse_amount
from chains.model import Family
from config.catalogue import build_network, read_catalogue
from config.errors import FieldError
from config.model import Network
from config.schema import NetworkEntry

CHAIN_IDS = {
    "ethereum": 1,
    "base": 8453,
    "polygon": 137,
    "avalanche": 43114,
    "optimism": 10,
    "sepolia": 11155111,
    "base-sepolia": 84532,
    "amoy": 80002,
    "fuji": 43113,
    "optimism-sepolia": 11155420,
    "local-evm": 31337,
}
GENESIS = {
    "solana": "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    "solana-devnet": "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
    "solana-testnet": "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY",
    "local-solana": None,
}
REAL = {"ethereum", "base", "polygon", "avalanche", "optimism", "solana"}
SOLD = {
    ("ethereum", "ETH"): ("eth", "ethereum", "ethereum", 18, True, True),
    ("ethereum", "USDC"): ("usdc", "ethereum", "ethereum", 6, True, True),
    ("base", "ETH"): ("eth", "base", "base_network", 18, True, False),
    ("base", "USDC"): ("usdc", "base", "base_network", 6, True, False),
    ("polygon", "POL"): ("matic", "polygon", "polygon", 18, True, True),
    ("polygon", "USDC"): ("usdc", "polygon", "polygon", 6, True, False),
    ("avalanche", "AVAX"): ("avax", "avalanche", "avalanche", 18, True, False),
    ("avalanche", "USDC"): ("usdc", "avalanche", "avalanche", 6, True, False),
    ("optimism", "ETH"): None,
    ("optimism", "USDC"): None,
    ("solana", "SOL"): ("sol", "solana", "solana", 9, True, True),
    ("solana", "USDC"): ("usdc", "solana", "solana", 6, True, False),
}
"""Stripe's currency, network, wallet key and decimals, and whether it sells in the US and the EU."""


def build(name: str) -> Network:
    errors: list[FieldError] = []
    network = build_network(name, NetworkEntry.model_validate({"http": ["https://rpc.example"]}), errors)
    assert network is not None
    assert not errors
    return network


def test_the_catalogue_has_these_networks_and_no_other() -> None:
    """A network is added here on purpose, with its facts."""
    assert read_catalogue().keys() == CHAIN_IDS.keys() | GENESIS.keys()


@pytest.mark.parametrize(("name", "chain_id"), CHAIN_IDS.items())
def test_an_ethereum_family_network_is_named_by_its_chain_id(name: str, chain_id: int) -> None:
    """The CAIP-2 id and the id that nodes are checked against are one."""
    network = build(name)
    assert (network.family, network.chain_id, network.id) == (Family.EVM, chain_id, f"eip155:{chain_id}")


@pytest.mark.parametrize(("name", "genesis"), GENESIS.items())
def test_a_solana_network_is_named_by_its_genesis(name: str, genesis: str | None) -> None:
    """The CAIP-2 id is the first 32 characters of the genesis hash; a local validator's is new each time."""
    network = build(name)
    assert (network.family, network.genesis_hash) == (Family.SOLANA, genesis)
    assert network.id == f"solana:{'localnet' if genesis is None else genesis[:32]}"


@pytest.mark.parametrize("name", sorted(CHAIN_IDS | GENESIS))
def test_only_real_networks_are_real(name: str) -> None:
    """A test network that passed for a real one would be asked for with real money."""
    assert build(name).test is (name not in REAL)


@pytest.mark.parametrize(("name", "symbol"), SOLD)
def test_what_stripe_sells_is_named_in_its_words(name: str, symbol: str) -> None:
    """Currency, network, wallet key, decimals, US and EU, as Stripe's tables have them."""
    asset = build(name).find_asset(symbol)
    assert asset is not None
    o = asset.onramp
    found = None if o is None else (o.currency, o.network, o.wallet_key, o.decimals, o.sold_us, o.sold_eu)
    assert found == SOLD[name, symbol]


def test_real_networks_have_no_other_asset() -> None:
    """Each asset of a real network has its row above."""
    found = {(name, a.asset.symbol) for name in REAL for a in build(name).assets}
    assert found == SOLD.keys()


@pytest.mark.parametrize("name", sorted(CHAIN_IDS | GENESIS))
def test_references_are_canonical_and_minima_are_amounts(name: str) -> None:
    """A contract with a wrong checksum, or a mint that is not 32 bytes, is no reference; a number is no amount."""
    entry = read_catalogue()[name]
    assert [a.reference for a in entry.assets].count(None) == 1
    assert entry.assets[0].reference is None
    for asset in entry.assets:
        assert parse_amount(asset.minimum, asset.decimals) > 0
        if asset.reference is not None:
            assert parse_address(Family(entry.family), asset.reference, allow_off_curve=True) == asset.reference
            assert entry.family == "eip155" or len(bytes(Pubkey.from_string(asset.reference))) == 32


def test_no_contract_stands_for_two_networks() -> None:
    """A pasted line would watch the wrong token."""
    references = [a.reference for entry in read_catalogue().values() for a in entry.assets if a.reference]
    assert len(references) == len(set(references)) == 12


@pytest.mark.parametrize("name", sorted(CHAIN_IDS | GENESIS))
def test_closing_waits_as_deep_as_the_network_needs(name: str) -> None:
    """12 blocks on an L1, `safe` on an L2, `finalized` on Solana, one block on local networks."""
    if name.startswith("local-"):
        expected: int | str = 1
    elif name.startswith("solana"):
        expected = "finalized"
    else:
        expected = "safe" if re.match("base|optimism", name) else 12
    assert build(name).close_confirmations == expected
