"""A transaction as it is signed and sent, read back into the fields of JSON-RPC: legacy and types 1 to 4. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import rlp
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from chains.ethereum.needs.proposal import MOST_DATA
from chains.needs import BadTransaction

_LEGACY: Final = ("nonce", "gasPrice", "gas", "to", "value", "data")
_FEES: Final = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas", "to", "value", "data", "accessList")
_TYPES: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("chainId", *_LEGACY, "accessList"),
    2: _FEES,
    3: (*_FEES, "maxFeePerBlobGas", "blobVersionedHashes"),
    4: (*_FEES, "authorizationList"),
}
"""The fields of each type, in their order; `yParity`, `r` and `s` follow once it is signed."""
_AUTHORIZATION: Final = ("chainId", "address", "nonce", "yParity", "r", "s")
_CHOSEN: Final = ("chainId", "nonce", "gasPrice", "maxPriorityFeePerGas", "maxFeePerGas", "maxFeePerBlobGas", "gas")
"""What an unsigned one may leave to the wallet: a serialised nothing is a zero."""
_MOST_TEXT: Final = 2 + 4 * MOST_DATA
_FIRST_LIST: Final = 0xC0
_FIRST_PROTECTED: Final = 35
"""The least `v` of a legacy signature that names its chain (EIP-155)."""
_HALF_ORDER: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""The greatest `s` that a node takes (EIP-2)."""
_WORD: Final = 32


def read_raw(text: str) -> Mapping[str, Any]:
    """The fields of a serialised transaction, unsigned or signed, in hexadecimal. Raises `BadTransaction`.

    A signed one has `from`, which its signature tells. Of an unsigned one, fees, gas and nonce of zero are left out:
    nobody has chosen them yet. Blobs of the form for the network are ignored.
    """
    raw = _unhex(text)
    if raw[0] >= _FIRST_LIST:
        return _legacy(_items(_unpack(raw)))
    names = _TYPES.get(raw[0])
    if names is None:
        raise BadTransaction("type", "unknown_type", "is not one of 0x0 to 0x4")
    items = _items(_unpack(raw[1:]))
    if raw[0] == 3 and items and isinstance(items[0], list):  # noqa: PLR2004  with its blobs, for the network
        items = items[0]
    if len(items) not in (len(names), len(names) + 3):
        raise BadTransaction("", "malformed", f"has {len(items)} parts, type {raw[0]} has {len(names)}")
    body, signature = items[: len(names)], [_number("yParity", item) for item in items[len(names) :]]
    fields = {"type": hex(raw[0]), **{name: _field(name, item) for name, item in zip(names, body, strict=True)}}
    if not any(signature[1:]):
        return _open(fields)
    return {**fields, "from": _signer(raw[:1] + rlp.encode(body), *signature)}


def _legacy(items: Sequence[Any]) -> Mapping[str, Any]:
    """Unsigned with six parts, or with nine of which the last are the chain's id and two zeros (EIP-155)."""
    if len(items) not in (len(_LEGACY), len(_LEGACY) + 3):
        raise BadTransaction("", "malformed", f"has {len(items)} parts, a legacy transaction has 6 or 9")
    body = list(items[: len(_LEGACY)])
    fields = {"type": "0x0", **{name: _field(name, item) for name, item in zip(_LEGACY, body, strict=True)}}
    v, r, s = [_number("v", item) for item in items[len(_LEGACY) :]] or (0, 0, 0)
    if not r and not s:
        return _open({**fields, "chainId": hex(v)})
    if v < _FIRST_PROTECTED:
        return {**fields, "from": _signer(rlp.encode(body), v - 27, r, s)}
    chain, parity = divmod(v - _FIRST_PROTECTED, 2)
    return {**fields, "chainId": hex(chain), "from": _signer(rlp.encode([*body, chain, 0, 0]), parity, r, s)}


def _open(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in fields.items() if name not in _CHOSEN or value != "0x0"}


def _signer(signed: bytes, parity: int, r: int, s: int) -> str:
    """Whose signature it is. One that no node takes is none."""
    try:
        if parity in (0, 1) and s <= _HALF_ORDER:
            key = Signature(vrs=(parity, r, s)).recover_public_key_from_msg_hash(keccak(signed))
            return str(key.to_checksum_address())
    except (BadSignature, ValidationError):
        pass
    raise BadTransaction("from", "bad_signature", "can't be told: the signature is none")


def _unhex(text: str) -> bytes:
    digits = text.strip().removeprefix("0x")
    if len(digits) > _MOST_TEXT:
        raise BadTransaction("", "too_large", f"must be at most {2 * MOST_DATA} bytes")
    try:
        raw = bytes.fromhex(digits) if digits.isalnum() else b""
    except ValueError:
        raw = b""
    if not raw:
        words = "must be an object with to, data, value, as in JSON-RPC, or a serialised transaction in hexadecimal"
        raise BadTransaction("", "not_an_object", words)
    return raw


def _unpack(raw: bytes) -> Any:
    """The values of RLP, and nothing behind them."""
    try:
        return rlp.decode(raw)
    except (rlp.exceptions.RLPException, RecursionError):
        raise BadTransaction("", "malformed", "is no serialised transaction: its RLP is broken") from None


def _items(value: Any, name: str = "") -> list[Any]:
    if not isinstance(value, list):
        raise BadTransaction(name, "malformed", "is no list where a serialised transaction has one")
    return value


def _bytes(name: str, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise BadTransaction(name, "malformed", "is a list where a serialised transaction has a value")
    return value


def _number(name: str, value: Any) -> int:
    raw = _bytes(name, value)
    if raw[:1] == b"\0" or len(raw) > _WORD:
        raise BadTransaction(name, "not_a_quantity", "is no number of at most 32 bytes without leading zeros")
    return int.from_bytes(raw, "big")


def _quantity(name: str, value: Any) -> str:
    return hex(_number(name, value))


def _data(name: str, value: Any) -> str:
    return "0x" + _bytes(name, value).hex()


def _to(name: str, value: Any) -> str | None:
    """None deploys a contract."""
    return _data(name, value) if value != b"" else None


def _access(name: str, value: Any) -> list[dict[str, Any]]:
    return [
        {"address": _data(name, address), "storageKeys": [_data(name, key) for key in _items(keys, name)]}
        for address, keys in (_of(name, entry, 2) for entry in _items(value, name))
    ]


def _authorizations(name: str, value: Any) -> list[dict[str, Any]]:
    return [_authorization(name, _of(name, entry, len(_AUTHORIZATION))) for entry in _items(value, name)]


def _authorization(name: str, entry: Sequence[Any]) -> dict[str, Any]:
    """Without its signature where that is zeros: it is to be made yet."""
    read = {
        part: (_data if part == "address" else _quantity)(name, item)
        for part, item in zip(_AUTHORIZATION, entry, strict=True)
    }
    return read if read["r"] != "0x0" else {part: read[part] for part in ("chainId", "address", "nonce")}


def _of(name: str, value: Any, parts: int) -> list[Any]:
    items = _items(value, name)
    if len(items) != parts:
        raise BadTransaction(name, "malformed", f"has an entry of {len(items)} parts, not of {parts}")
    return items


def _hashes(name: str, value: Any) -> list[str]:
    return [_data(name, item) for item in _items(value, name)]


_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "to": _to,
    "data": _data,
    "accessList": _access,
    "authorizationList": _authorizations,
    "blobVersionedHashes": _hashes,
}


def _field(name: str, value: Any) -> Any:
    reader = _READERS.get(name)
    return _quantity(name, value) if reader is None else reader(name, value)
