"""A proposed, unsigned transaction, as JSON-RPC writes one: read strictly: what is misread is asked of people."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chains.needs import BadTransaction

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)

MOST_DATA: Final = 2**20
"""Bytes of calldata: nodes take 128 kB, blocks of some networks more."""
MOST_ENTRIES: Final = 1000
"""Entries of a list: of blobs, authorizations, addresses or storage keys."""

_FIELDS: Final = frozenset(
    {
        "from", "to", "data", "input", "value", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas",
        "maxFeePerBlobGas", "blobVersionedHashes", "nonce", "type", "accessList", "authorizationList", "chainId",
    }
)  # fmt: skip
_TYPES: Final = {
    1: ("accessList",),
    2: ("maxFeePerGas", "maxPriorityFeePerGas"),
    3: ("blobVersionedHashes", "maxFeePerBlobGas"),
    4: ("authorizationList",),
}
"""The fields that only a transaction of that type, or a later one, has."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One transaction that nobody has signed. Addresses are lower-case."""

    sender: str
    to: str | None
    """None deploys a contract."""
    data: str
    value: int
    gas: int | None
    """The limit, where the wallet has chosen one."""
    max_price: int | None
    """Wei a unit of gas that the sender must have: `maxFeePerGas`, or `gasPrice`."""
    tip: int | None
    nonce: int | None
    blobs: tuple[str, ...]
    max_blob_price: int | None
    access_list: tuple[Mapping[str, Any], ...]
    authorizations: tuple[Mapping[str, Any], ...]

    @property
    def delegate(self) -> str | None:
        """Whose code an unsigned EIP-7702 authorization of this transaction gives to the sender."""
        unsigned = [item["address"].lower() for item in self.authorizations if "r" not in item]
        return unsigned[-1] if unsigned else None

    def call(self, **more: Any) -> dict[str, Any]:
        """The transaction as the argument of `eth_call` and its like, without a price."""
        call: dict[str, Any] = {"from": self.sender, "data": self.data, "value": hex(self.value)}
        if self.to is not None:
            call["to"] = self.to
        if self.access_list:
            call["accessList"] = list(self.access_list)
        if self.blobs:
            call["blobVersionedHashes"] = list(self.blobs)
        signed = [item for item in self.authorizations if "r" in item]
        if signed:
            call["authorizationList"] = signed
        return {**call, **more}


def parse_transaction(sender: str, transaction: Mapping[str, Any], chain_id: int | None = None) -> Proposal:
    """Raises `BadTransaction`, naming the field."""
    unknown = sorted(set(transaction) - _FIELDS)
    if unknown:
        raise BadTransaction(unknown[0][:40], "unknown_field", "is no field of a transaction")
    fields = {name: value for name, value in transaction.items() if value is not None}
    _check_identity(sender, fields, chain_id)
    data = _data(fields)
    to = _address(fields, "to")
    if to is None and data == "0x":
        raise BadTransaction("to", "missing", "is missing, and there is no data to deploy a contract with")
    proposal = Proposal(
        sender=sender.lower(),
        to=to,
        data=data,
        value=_quantity(fields, "value") or 0,
        gas=_quantity(fields, "gas", 64),
        max_price=_price(fields),
        tip=_quantity(fields, "maxPriorityFeePerGas"),
        nonce=_quantity(fields, "nonce", 64),
        blobs=_blobs(fields),
        max_blob_price=_quantity(fields, "maxFeePerBlobGas"),
        access_list=tuple(_access(item, at) for at, item in _entries(fields, "accessList")),
        authorizations=tuple(_authorization(item, at) for at, item in _entries(fields, "authorizationList")),
    )
    _check_type(fields, proposal)
    return proposal


def _check_identity(sender: str, fields: Mapping[str, Any], chain_id: int | None) -> None:
    if not _ADDRESS.fullmatch(sender):
        raise BadTransaction("from", "not_an_address", "must be 0x and 40 hexadecimal digits")
    stated = _address(fields, "from")
    if stated is not None and stated != sender.lower():
        raise BadTransaction("from", "other_sender", "is not the wallet's address")
    for_chain = _quantity(fields, "chainId")
    if for_chain is not None and chain_id is not None and for_chain != chain_id:
        raise BadTransaction("chainId", "other_network", f"is {for_chain}, this network is {chain_id}")


def _check_type(fields: Mapping[str, Any], proposal: Proposal) -> None:
    """Fields of different fee markets contradict each other, and a type names the fields it has."""
    if "gasPrice" in fields and ("maxFeePerGas" in fields or "maxPriorityFeePerGas" in fields):
        raise BadTransaction("gasPrice", "contradiction", "and maxFeePerGas are of different types of transaction")
    if proposal.tip is not None and proposal.max_price is not None and proposal.tip > proposal.max_price:
        raise BadTransaction("maxPriorityFeePerGas", "too_large", "is more than maxFeePerGas")
    if proposal.to is None and (proposal.blobs or proposal.authorizations):
        raise BadTransaction("to", "missing", "is missing: this type can't deploy a contract")
    kind = _quantity(fields, "type", 8)
    if kind is not None:
        _check_fields_of(kind, fields, proposal)


def _check_fields_of(kind: int, fields: Mapping[str, Any], proposal: Proposal) -> None:
    if kind > max(_TYPES):
        raise BadTransaction("type", "unknown_type", "is not one of 0x0 to 0x4")
    if kind > 1 and "gasPrice" in fields:
        raise BadTransaction("gasPrice", "contradiction", f"does not belong to a transaction of type {kind}")
    for of, name, given in (
        (3, "blobVersionedHashes", proposal.blobs),
        (4, "authorizationList", proposal.authorizations),
    ):
        if kind == of and not given:
            raise BadTransaction(name, "missing", f"is missing in a transaction of type {kind}")
    for of, names in _TYPES.items():
        for name in names:
            if name in fields and (kind < of or (of in (3, 4) and kind != of)):
                raise BadTransaction(name, "contradiction", f"does not belong to a transaction of type {kind}")


def _price(fields: Mapping[str, Any]) -> int | None:
    price = _quantity(fields, "maxFeePerGas")
    return price if price is not None else _quantity(fields, "gasPrice")


def _quantity(fields: Mapping[str, Any], name: str, bits: int = 256, *, under: str = "") -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise BadTransaction(under + name, "not_a_quantity", 'must be a hexadecimal quantity such as "0x1f"')
    number = int(value, 16)
    if number >= 1 << bits:
        raise BadTransaction(under + name, "too_large", f"must be below 2^{bits}")
    return number


def _address(fields: Mapping[str, Any], name: str, under: str = "") -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise BadTransaction(under + name, "not_an_address", "must be 0x and 40 hexadecimal digits")
    return value.lower()


def _data(fields: Mapping[str, Any]) -> str:
    """`data`, which some call `input`; both must agree."""
    given = [(name, fields[name]) for name in ("data", "input") if name in fields]
    for name, value in given:
        if not isinstance(value, str) or not _DATA.fullmatch(value):
            raise BadTransaction(name, "not_data", "must be 0x and an even number of hexadecimal digits")
        if len(value) > 2 + 2 * MOST_DATA:
            raise BadTransaction(name, "too_large", f"must be at most {MOST_DATA} bytes")
    texts = {value.lower() for _, value in given}
    if len(texts) > 1:
        raise BadTransaction("input", "contradiction", "and data differ")
    return str(texts.pop()) if texts else "0x"


def _items(fields: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list | tuple) or len(value) > MOST_ENTRIES:
        raise BadTransaction(name, "not_a_list", f"must be a list of at most {MOST_ENTRIES} entries")
    return value


def _entries(fields: Mapping[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """The entries of a list, each with its place in the transaction, as errors name it."""
    return ((f"{name}/{number}", item) for number, item in enumerate(_items(fields, name)))


def _blobs(fields: Mapping[str, Any]) -> tuple[str, ...]:
    hashes = _items(fields, "blobVersionedHashes")
    if not all(isinstance(item, str) and _HASH.fullmatch(item) for item in hashes):
        raise BadTransaction("blobVersionedHashes", "not_a_hash", "must be a list of 32-byte hashes")
    return tuple(hashes)


def _access(item: Any, at: str) -> Mapping[str, Any]:
    if not isinstance(item, Mapping):
        raise BadTransaction(at, "malformed", "must be an object with address and storageKeys")
    address, keys = _address(item, "address", f"{at}/"), item.get("storageKeys")
    if address is None:
        raise BadTransaction(f"{at}/address", "missing", "is missing")
    if not isinstance(keys, list) or len(keys) > MOST_ENTRIES:
        raise BadTransaction(f"{at}/storageKeys", "not_a_list", f"must be a list of at most {MOST_ENTRIES} entries")
    if not all(isinstance(key, str) and _HASH.fullmatch(key) for key in keys):
        raise BadTransaction(f"{at}/storageKeys", "not_a_hash", "has a storage key that is not 32 bytes")
    return {"address": item["address"], "storageKeys": list(keys)}


def _authorization(item: Any, at: str) -> Mapping[str, Any]:
    """With a signature it goes to the node as it is; without one it is taken for the sender's own."""
    if not isinstance(item, Mapping):
        raise BadTransaction(at, "malformed", "must be an object with chainId, address and nonce")
    if _address(item, "address", f"{at}/") is None:
        raise BadTransaction(f"{at}/address", "missing", "is missing")
    known = ("chainId", "address", "nonce", "yParity", "v", "r", "s")
    for name in known:
        if name != "address":
            _quantity(item, name, under=f"{at}/")
    return {name: item[name] for name in known if item.get(name) is not None}
