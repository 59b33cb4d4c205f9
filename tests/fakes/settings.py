"""A small configuration of two local networks, built by hand so that a test says all that it depends on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from chains.model import NATIVE, Asset, Family, NetworkId
from config.model import Level, LowFunding, Network, NetworkAsset, OnrampAsset, Policy, Settings, Tenant

EVM = NetworkId("eip155:31337")
SOLANA = NetworkId("solana:localnet")
BONK = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
ETH = 10**18


def make_network(**changes: Any) -> Network:
    """A local EVM network with its coin."""
    sold = OnrampAsset("eth", "ethereum", "ethereum", decimals=18, sold_us=True, sold_eu=True)
    native = NetworkAsset(Asset(EVM, NATIVE, "ETH", 18), sold, minimum=0, maximum=None)
    network = Network(
        id=EVM,
        name="local-evm",
        family=Family.EVM,
        test=True,
        chain_id=31337,
        genesis_hash=None,
        http_urls=("http://127.0.0.1:1",),
        ws_urls=(),
        assets=(native,),
        typical_gas=65_000,
        open_confirmations=1,
        close_confirmations=1,
        poll_seconds=1,
        stale_seconds=10,
        max_head_age_seconds=None,
    )
    return replace(network, **changes)


USDC = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
SHIB = "0x95aD61b0a150d79219dCF64E1E6Cc01f0B64C4cE"


def make_token(reference: str = USDC, symbol: str = "USDC", *, us: bool = True, eu: bool = True) -> NetworkAsset:
    """A token with six decimals that Stripe sells; not at all where it is sold neither in the US nor in the EU."""
    sold = OnrampAsset("usdc", "ethereum", "ethereum", decimals=6, sold_us=us, sold_eu=eu) if us or eu else None
    return NetworkAsset(Asset(EVM, reference, symbol, 6), sold, minimum=0, maximum=None)


def make_solana(**changes: Any) -> Network:
    """A local Solana network with its coin, and a token that Stripe does not sell."""
    sold = OnrampAsset("sol", "solana", "solana", decimals=9, sold_us=True, sold_eu=True)
    native = NetworkAsset(Asset(SOLANA, NATIVE, "SOL", 9), sold, minimum=0, maximum=None)
    bonk = NetworkAsset(Asset(SOLANA, BONK, "BONK", 5), None, minimum=0, maximum=None)
    changes = {"assets": (native, bonk), "close_confirmations": 1} | changes
    return make_network(id=SOLANA, name="local-solana", family=Family.SOLANA, chain_id=None, **changes)


def make_policy(**changes: Any) -> Policy:
    """ETH below 1 is filled to 3."""
    low = LowFunding(EVM, NATIVE, trigger=Level(amount=ETH), target=Level(amount=3 * ETH))
    policy = Policy("default", "v1", networks=(EVM,), low=(low,), gas_buffer=Level(amount=0))
    return replace(policy, **changes)


def make_tenant(**changes: Any) -> Tenant:
    """One backend with a test key and one policy."""
    tenant = Tenant(
        id="default",
        stripe_secret_key="sk_test_fake",
        stripe_webhook_secrets=(),
        endpoints=(),
        policies={"default": make_policy()},
    )
    return replace(tenant, **changes)


def make_settings(tmp: Path, *, network: Network | None = None, tenant: Tenant | None = None) -> Settings:
    """Both, in one place."""
    network, tenant = network or make_network(), tenant or make_tenant()
    return Settings(
        networks={network.id: network},
        tenants={tenant.id: tenant},
        data_dir=tmp,
        database_url=None,
        listen_host="127.0.0.1",
        listen_port=0,
        stripe_api_base="http://127.0.0.1:1",
        stripe_version=None,
        allow_private_receivers=True,
        console=False,
        log_level="info",
        poll_seconds=5,
    )
