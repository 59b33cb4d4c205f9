"""Why a transaction fails even with ample funds: each answer but the last is one that a run has shown."""

from typing import Final

from chains.needs import Verdict
from chains.solana.accounts import ASSOCIATED_PROGRAM
from chains.solana.needs import failure, token
from chains.solana.needs.trial import Trial

_EARLIER: Final = (600, 86_400, 30 * 86_400)
"""Seconds: a time before the deadline that such transactions have."""
_MOST_SPENDERS: Final = 200


def diagnose(trial: Trial, error: object) -> tuple[Verdict, str]:
    """The verdict and its reason. For `ALLOWANCE`, the trial is left with the approval in place."""
    if failure.is_of_the_runtime(error):
        programs = [trial.snapshot.keys[each.program_id_index] for each in trial.proposal.instructions]
        absent = [key for key in programs if not _is_there(trial, key)]
        if absent:
            return Verdict.REVERTS, f"there is no program {absent[0]}"
        return Verdict.UNKNOWN, "it can't be run here"
    why = failure.describe(error, trial.proposal, trial.snapshot.keys)
    if failure.may_lack_approval(error):
        spender = _approved(trial)
        if spender is not None:
            return Verdict.ALLOWANCE, f"{spender} is not approved to spend the wallet's tokens"
    if _worked_earlier(trial):
        return Verdict.DEADLINE, f"{why}; the same would have worked earlier"
    return Verdict.REVERTS, why


def opens(trial: Trial) -> frozenset[str]:
    """Associated accounts that the transaction itself opens."""
    found = set()
    for instruction in trial.proposal.instructions:
        accounts = bytes(instruction.accounts)
        if trial.snapshot.keys[instruction.program_id_index] == ASSOCIATED_PROGRAM and len(accounts) > 1:
            found.add(trial.snapshot.keys[accounts[1]])
    return frozenset(found)


def _is_there(trial: Trial, key: str) -> bool:
    account = trial.snapshot.accounts.get(key)
    return account is not None and account.executable


def _approved(trial: Trial) -> str | None:
    """Who could do it with an approval; the trial keeps that approval."""
    sources = dict(trial.sources)
    tries = [(key, spender) for key in sources for spender in trial.snapshot.keys if spender not in (trial.owner, key)]
    for key, spender in tries[:_MOST_SPENDERS]:
        trial.sources = {**sources, key: token.with_delegate(sources[key], spender)}
        if trial.works(trial.ample()):
            return spender
    trial.sources = sources
    return None


def _worked_earlier(trial: Trial) -> bool:
    try:
        for seconds in _EARLIER:
            trial.set_time(seconds)
            if trial.works(trial.ample()):
                return True
        return False
    finally:
        trial.set_time(0)
