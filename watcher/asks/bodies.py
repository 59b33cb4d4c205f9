"""The bodies of asks, as the API and inbound webhooks both take them: shapes, not yet their meaning."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from watcher.api.fields import Id, IpAddress, Metadata, Time
from watcher.model import NeedKind
from watcher.shapes import Strict

Reference = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""A symbol, contract or mint; a network's name or CAIP-2 id."""
Amount = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Units = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,38})$")]


class Gas(Strict):
    """Room for the network's fee: how much gas (compute units on Solana), or that somebody else pays."""

    limit: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    max_fee_per_gas: Units | None = None
    """Base units for one unit of gas; without it, the fee of the moment."""
    payer: Literal["wallet", "other"] = "wallet"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_fee_per_gas is not None and self.limit is None:
            raise ValueError("max_fee_per_gas needs a limit")
        if self.payer == "other" and (self.limit is not None or self.max_fee_per_gas is not None):
            raise ValueError("a limit makes no sense where another pays")
        return self


class NeedEntry(Strict):
    """So much of an asset."""

    asset: Reference
    amount: Amount


class PayIn(Strict):
    """An asset to pay with; the amount only where the caller knows it."""

    asset: Reference
    amount: Amount | None = None


class Price(Strict):
    """In an asset, or in money that a rate turns into one."""

    asset: Reference | None = None
    fiat: Annotated[str, StringConstraints(pattern=r"^[a-z]{3}$")] | None = None
    amount: Amount

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.asset is None) == (self.fiat is None):
            raise ValueError("must name either an asset or a fiat currency")
        return self


class AskBody(Strict):
    """What every ask says."""

    id: Id
    wallet: Id
    network: Reference
    gas: Gas | None = None
    expires_at: Time | None = None
    notify: bool = True
    customer_ip_address: IpAddress | None = None
    metadata: Metadata = Field(default_factory=dict)


Proposed = Annotated[dict[str, Any] | str, Field(union_mode="left_to_right")]
"""An unsigned transaction: an object as in JSON-RPC or raw hexadecimal (EVM), base64 (Solana)."""


class TransactionBody(AskBody):
    """A transaction that the wallet is about to make."""

    transaction: Proposed | None = None
    needs: Annotated[list[NeedEntry], Field(max_length=16, default_factory=list)]


class CheckoutBody(AskBody):
    """A purchase, priced in an asset or in fiat."""

    price: Price
    pay_in: Annotated[list[Reference], Field(max_length=16)] | None = None
    transaction: Proposed | None = None
    """The purchase itself: what it costs beside the price is found out."""
    mode: Literal["difference", "whole_price"] = "difference"


class SwapBody(AskBody):
    """A token that the person wants, and what they would pay with, in order of preference."""

    want: Reference
    pay_in: Annotated[list[PayIn], Field(min_length=1, max_length=16)]


BODIES: Mapping[NeedKind, type[AskBody]] = {
    NeedKind.TRANSACTION: TransactionBody,
    NeedKind.CHECKOUT: CheckoutBody,
    NeedKind.SWAP: SwapBody,
}


class CompleteBody(Strict):
    """The transaction was made."""

    transaction_hash: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,128}$")] | None = None
