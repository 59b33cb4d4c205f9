"""What can go wrong between us and a chain.

ChainError
├── Unavailable         no endpoint gave a usable answer: retry later, believe nothing
│   └── RpcError        a node's own JSON-RPC error: adapters look inside, others need not
├── BlockGone           the block asked for is no longer (or not yet) known: walk again
├── WrongNetwork        the endpoint serves another chain: quarantine it
└── BadAddress          not an address that money may be sent to on this network

An unknown balance is one of these errors, never a zero.
"""


class ChainError(Exception):
    """Base of all errors of this package. Messages name endpoints by host only, never by full URL."""


class Unavailable(ChainError):
    """No endpoint gave a usable answer in time."""


class RpcError(Unavailable):
    """A JSON-RPC error that a node answered with, for the adapters that know what its code means."""

    def __init__(self, host: str, code: int, text: str, data: object = None) -> None:
        """`code`, `text` and `data` are the error object's own `code`, `message` and `data`."""
        super().__init__(f"{host} answered with error {code}: {text}")
        self.code = code
        self.text = text
        self.data = data


class BlockGone(ChainError):
    """The node does not, or no longer, know the block that was asked for."""


class WrongNetwork(ChainError):
    """An endpoint's chain id or genesis hash is not the configured one."""


class BadAddress(ChainError, ValueError):
    """The text is not an address that may receive funds on this network."""

    def __init__(self, code: str, message: str) -> None:
        """`code` is machine-readable, such as `bad_checksum`; `message` is for people."""
        super().__init__(message)
        self.code = code
