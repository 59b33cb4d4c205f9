"""Which holdings are to be looked at: some, by key, and perhaps whatever differs among all there are."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Marks:
    """Keys of a registry, to be read whether or not they differ."""

    keys: set[int] = field(default_factory=set)
    everything: bool = False
    """All others, too, are compared with what was read before."""

    def __bool__(self) -> bool:
        return self.everything or bool(self.keys)

    def add(self, other: "Marks") -> None:
        """Mark what the other marks, too."""
        self.keys |= other.keys
        self.everything |= other.everything

    def take(self, most: int) -> set[int]:
        """Some of the keys, which are marked no more."""
        return {self.keys.pop() for _ in range(min(most, len(self.keys)))}
