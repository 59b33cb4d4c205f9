"""The compiled runtime code, as hex. Built by `build.js` from `Planted.sol`."""

from importlib import resources


def runtime(name: str) -> str:
    """`0x` and the runtime code of one contract of `Planted.sol`."""
    file = resources.files("chains.ethereum.needs.planted").joinpath(f"{name}.hex")
    return "0x" + file.read_text(encoding="ascii").strip()
