"""When is a wave of shortfalls a storm, and when has it passed. Pure.

A storm is more likely a fault than people's doing: a node that answers zero, a fee that went mad, a policy mistyped.
"""

from typing import Final

from config.model import Brake

_CALM: Final = 2
"""A storm has passed when fewer than one half of what would begin one are left: it does not begin again at once."""


def is_storm(brake: Brake, turned: int, wallets: int) -> bool:
    """Whether so many wallets of all that a network has, turned short within the window, are too many to ask."""
    return turned >= brake.minimum and turned * 100 > brake.share_percent * wallets


def has_passed(brake: Brake, still_short: int, wallets: int) -> bool:
    """Whether of those that turned short in a storm so few are left that its cause must be gone."""
    return not is_storm(brake, still_short * _CALM, wallets)
