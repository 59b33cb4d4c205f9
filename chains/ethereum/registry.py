"""Which holdings are watched, in columns: a million addresses in about 70 MB, found by their 40 hex digits."""

from array import array
from collections.abc import Collection, Container, Iterable, Iterator, Sequence
from typing import Final

from chains.ethereum.columns import Amounts
from chains.model import NATIVE, Asset, Balance, Holding, NetworkId
from chains.names import Names

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
        self._names = Names(40, fold=True)
        self._bits = array("Q")
        self._amounts = [Amounts() for _ in assets]
        self._with_code: set[int] = set()
        self._cursor = 0

    def add(self, holdings: Collection[Holding]) -> tuple[set[int], set[int]]:
        """Watch holdings: their keys, and the indexes of addresses not seen before."""
        keys, fresh = set(), set()
        for holding in holdings:
            number = self._number(holding)
            index, new = self._names.add(holding.address[2:])
            if new:
                fresh.add(index)
            if index == len(self._bits):
                self._bits.append(0)
            self._bits[index] |= 1 << number
            keys.add(index << _SHIFT | number)
        return keys, fresh

    def remove(self, holdings: Collection[Holding]) -> None:
        """Unwatch holdings; unknown ones are ignored."""
        for holding in holdings:
            digits = holding.address[2:].lower()
            index, number = self._names.find(digits), self._numbers.get(holding.asset)
            if index is None or number is None:
                continue
            self._bits[index] &= ~(1 << number)
            self._amounts[number].forget(index)
            if not self._bits[index]:
                self._names.remove(digits)
                self._with_code.discard(index)

    @property
    def top(self) -> int:
        """Every index is below it."""
        return len(self._bits)

    def recall(self, holding: Holding, amount: int) -> None:
        """A watched holding's balance was read before, and is recorded."""
        key = self._key_of(holding)
        if key is not None:
            self._amounts[key & MAX_ASSETS - 1].put(key >> _SHIFT, amount)

    def note(self, balances: Iterable[Balance], keys: Container[int]) -> None:
        """The same of many, as far as they are among some keys."""
        for balance in balances:
            key = self._key_of(balance.holding)
            if key is not None and key in keys:
                self._amounts[key & MAX_ASSETS - 1].put(key >> _SHIFT, balance.amount)

    def forget(self, keys: Iterable[int]) -> None:
        """Their balances are to be taken for changed, whatever a sweep will find."""
        for key in keys:
            self._amounts[key & MAX_ASSETS - 1].forget(key >> _SHIFT)

    def members(self, number: int, indexes: Iterable[int]) -> Sequence[int]:
        """Those of some addresses where an asset is watched."""
        return [index for index in indexes if self._bits[index] >> number & 1]

    def compare(self, number: int, indexes: Sequence[int], words: "array[int]") -> set[int]:
        """Take balances of an asset, as the node gave them, for known; the keys of those that were not so before."""
        return {index << _SHIFT | number for index in self._amounts[number].compare(indexes, words)}

    def find(self, digits: str) -> int | None:
        """The index of an address by its 40 lower-case hex digits."""
        return self._names.find(digits)

    def key(self, index: int, number: int) -> int | None:
        """The key of one asset at one address, if watched."""
        return index << _SHIFT | number if self._bits[index] >> number & 1 else None

    def keys_at(self, index: int) -> Iterator[int]:
        """The keys of everything watched at an address."""
        return (index << _SHIFT | number for number in range(len(self._references)) if self._bits[index] >> number & 1)

    def keys_of(self, number: int) -> set[int]:
        """The keys of everyone who holds one asset."""
        return {index << _SHIFT | number for index, bits in enumerate(self._bits) if bits >> number & 1}

    def __contains__(self, holding: object) -> bool:
        """Whether a holding is watched."""
        return isinstance(holding, Holding) and self._key_of(holding) is not None

    def __iter__(self) -> Iterator[Holding]:
        """Every watched holding, asset by asset: each is read in calls of its own."""
        for number, reference in enumerate(self._references):
            for index, bits in enumerate(self._bits):
                if bits >> number & 1:
                    yield Holding(self._network, reference, self.address(index))

    def __len__(self) -> int:
        """How many holdings are watched."""
        return sum(bits.bit_count() for bits in self._bits)

    def slice(self, size: int) -> list[int]:
        """The next `size` addresses' indexes of a rotation over all of them; all, when there are no more."""
        total = len(self._bits)
        count = min(size, total)
        indexes = [(self._cursor + step) % total for step in range(count)]
        self._cursor = (self._cursor + count) % total if total else 0
        return [index for index in indexes if self._bits[index]]

    def holdings(self, keys: Iterable[int]) -> frozenset[Holding]:
        """The holdings that keys stand for; keys of removed ones are dropped."""
        return frozenset(
            Holding(self._network, self._references[key & MAX_ASSETS - 1], self.address(key >> _SHIFT))
            for key in keys
            if key >> _SHIFT < len(self._bits) and self._bits[key >> _SHIFT] >> (key & MAX_ASSETS - 1) & 1
        )

    def address(self, index: int) -> str:
        """The address at an index, as it was given."""
        return "0x" + self._names.text(index)

    def mark_code(self, index: int, *, has_code: bool) -> None:
        """Note whether an address has code, its own or a delegation."""
        if has_code:
            self._with_code.add(index)
        else:
            self._with_code.discard(index)

    def contract_keys(self) -> set[int]:
        """The native holdings of addresses with code: they can lose coins without sending a transaction."""
        return {index << _SHIFT for index in self._with_code if self._bits[index] & 1}

    def _key_of(self, holding: Holding) -> int | None:
        if holding.network != self._network:
            return None
        index, number = self._names.find(holding.address[2:].lower()), self._numbers.get(holding.asset)
        return None if index is None or number is None else self.key(index, number)

    def _number(self, holding: Holding) -> int:
        number = self._numbers.get(holding.asset)
        if number is None or holding.network != self._network:
            raise ValueError(f"{holding.asset} is not an asset of this chain")
        return number
