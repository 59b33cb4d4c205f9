"""What the network takes for a transaction, from the message alone. No I/O."""

import struct
from dataclasses import dataclass
from typing import Final

from chains.solana.fees import SIGNATURE_FEE
from chains.solana.needs.proposal import Proposal

_COMPUTE_BUDGET: Final = "ComputeBudget111111111111111111111111111111"
_SET_LIMIT: Final = 2
_SET_PRICE: Final = 3
_PRECOMPILES: Final = frozenset(
    {
        "Ed25519SigVerify111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "Secp256r1SigVerify1111111111111111111111111",
    }
)
"""Programs that verify signatures, each of which costs as one of the transaction's own."""
_BUILTINS: Final = frozenset(
    {
        "11111111111111111111111111111111",
        _COMPUTE_BUDGET,
        "Vote111111111111111111111111111111111111111",
        "BPFLoaderUpgradeab1e11111111111111111111111",
        "BPFLoader2111111111111111111111111111111111",
        "BPFLoader1111111111111111111111111111111111",
        "LoaderV411111111111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "Ed25519SigVerify111111111111111111111111111",
    }
)
_UNITS_OF_BUILTIN: Final = 3_000
_UNITS_OF_OTHERS: Final = 200_000
MOST_UNITS: Final = 1_400_000
"""Compute units of one transaction: the runtime's own limit."""
_MICRO: Final = 10**6


@dataclass(frozen=True, slots=True)
class Charge:
    """The two parts of a transaction's fee, in lamports, and what they come of."""

    base: int
    priority: int
    signatures: int
    units: int
    """The limit of compute units, which is paid for whether used or not."""
    price: int
    """Micro-lamports a unit."""

    @property
    def total(self) -> int:
        """Lamports."""
        return self.base + self.priority


def charge_of(proposal: Proposal) -> Charge:
    """The fee by the protocol's rules: getFeeForMessage says the same, where the node knows priority fees."""
    price, limit, by_default, verified = 0, None, 0, 0
    for instruction in proposal.instructions:
        program, data = proposal.keys[instruction.program_id_index], bytes(instruction.data)
        by_default += _UNITS_OF_BUILTIN if program in _BUILTINS else _UNITS_OF_OTHERS
        if program == _COMPUTE_BUDGET and len(data) >= 5 and data[0] == _SET_LIMIT:  # noqa: PLR2004  a tag and an u32
            limit = struct.unpack_from("<I", data, 1)[0]
        elif program == _COMPUTE_BUDGET and len(data) >= 9 and data[0] == _SET_PRICE:  # noqa: PLR2004  a tag and an u64
            price = struct.unpack_from("<Q", data, 1)[0]
        elif program in _PRECOMPILES and data:
            verified += data[0]
    units = min(by_default if limit is None else limit, MOST_UNITS)
    signatures = proposal.signatures + verified
    return Charge(SIGNATURE_FEE * signatures, -(-price * units // _MICRO), signatures, units, price)
