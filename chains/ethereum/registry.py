"""Which holdings are watched, compactly: a million addresses in about 150 MB, found by their 40 hex digits."""

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from chains.model import NATIVE, Asset, Holding, NetworkId

_SHIFT: Final = 6
MAX_ASSETS: Final = 1 << _SHIFT
"""Assets on one network: a holding's key is its address's index and a six-bit asset number."""


class Registry:
    """Addresses by index, the assets watched at each as bits, and which addresses have code.

    A key (int) stands for one holding: `index * 64 + asset number`. Keys of removed holdings may stay in sets
    elsewhere: they name nothing, or another watched holding, and cost one needless read.
    """

    def __init__(self, network: NetworkId, assets: Sequence[Asset]) -> None:
        """`assets` fixes the asset numbers; the native coin must be the first."""
        if not assets or assets[0].reference != NATIVE:
            raise ValueError("the first asset must be the network's own coin")
        if len(assets) > MAX_ASSETS:
            raise ValueError(f"at most {MAX_ASSETS} assets on one network")
        self._network = network
        self._references = [asset.reference for asset in assets]
        self._numbers = {asset.reference: number for number, asset in enumerate(assets)}
        self._index: dict[str, int] = {}
        self._addresses: list[str] = []
        self._bits = array("Q")
        self._free: list[int] = []
        self._with_code: set[int] = set()
        self._cursor = 0

    def add(self, holdings: Collection[Holding]) -> tuple[set[int], set[int]]:
        """Watch holdings: their keys, and the indexes of addresses not seen before."""
        keys, fresh = set(), set()
        for holding in holdings:
            number = self._number(holding)
            digits = holding.address[2:].lower()
            index = self._index.get(digits)
            if index is None:
                index = self._index[digits] = self._place(holding.address)
                fresh.add(index)
            self._bits[index] |= 1 << number
            keys.add(index << _SHIFT | number)
        return keys, fresh

    def remove(self, holdings: Collection[Holding]) -> None:
        """Unwatch holdings; unknown ones are ignored."""
        for holding in holdings:
            digits = holding.address[2:].lower()
            index, number = self._index.get(digits), self._numbers.get(holding.asset)
            if index is None or number is None:
                continue
            self._bits[index] &= ~(1 << number)
            if not self._bits[index]:
                del self._index[digits]
                self._with_code.discard(index)
                self._free.append(index)

    def find(self, digits: str) -> int | None:
        """The index of an address by its 40 lower-case hex digits."""
        return self._index.get(digits)

    def key(self, index: int, number: int) -> int | None:
        """The key of one asset at one address, if watched."""
        return index << _SHIFT | number if self._bits[index] >> number & 1 else None

    def keys_at(self, index: int) -> Iterator[int]:
        """The keys of everything watched at an address."""
        return (index << _SHIFT | number for number in range(len(self._references)) if self._bits[index] >> number & 1)

    def keys_of(self, number: int) -> set[int]:
        """The keys of everyone who holds one asset."""
        return {index << _SHIFT | number for index, bits in enumerate(self._bits) if bits >> number & 1}

    def all_keys(self) -> set[int]:
        """The keys of every watched holding."""
        return {key for index in self._index.values() for key in self.keys_at(index)}

    def slice(self, size: int) -> list[int]:
        """The next `size` addresses' indexes of a rotation over all of them; all, when there are no more."""
        total = len(self._addresses)
        count = min(size, total)
        indexes = [(self._cursor + step) % total for step in range(count)]
        self._cursor = (self._cursor + count) % total if total else 0
        return [index for index in indexes if self._bits[index]]

    def holdings(self, keys: Iterable[int]) -> frozenset[Holding]:
        """The holdings that keys stand for; keys of removed ones are dropped."""
        return frozenset(
            Holding(self._network, self._references[key & MAX_ASSETS - 1], self._addresses[key >> _SHIFT])
            for key in keys
            if key >> _SHIFT < len(self._bits) and self._bits[key >> _SHIFT] >> (key & MAX_ASSETS - 1) & 1
        )

    def address(self, index: int) -> str:
        """The address at an index, as it was given."""
        return self._addresses[index]

    def mark_code(self, index: int, *, has_code: bool) -> None:
        """Note whether an address has code, its own or a delegation."""
        if has_code:
            self._with_code.add(index)
        else:
            self._with_code.discard(index)

    def contract_keys(self) -> set[int]:
        """The native holdings of addresses with code: they can lose coins without sending a transaction."""
        return {index << _SHIFT for index in self._with_code if self._bits[index] & 1}

    def _place(self, address: str) -> int:
        if self._free:
            index = self._free.pop()
            self._addresses[index] = address
            return index
        self._addresses.append(address)
        self._bits.append(0)
        return len(self._addresses) - 1

    def _number(self, holding: Holding) -> int:
        number = self._numbers.get(holding.asset)
        if number is None or holding.network != self._network:
            raise ValueError(f"{holding.asset} is not an asset of this chain")
        return number
