"""What a transaction needs of a wallet: run with ample funds, then with as little as works, then with one unit less."""

from typing import Final

from chains.needs import Verdict
from chains.solana.needs import failure, token
from chains.solana.needs.diagnose import diagnose, opens
from chains.solana.needs.finding import Finding, Taken
from chains.solana.needs.machine import RICH, Run
from chains.solana.needs.search import find_least
from chains.solana.needs.trial import Funds, OutOfTime, Trial
from chains.solana.needs.wallet import is_own_place

_MOST_HINTS: Final = 16


def analyse(trial: Trial) -> Finding:
    """The whole finding; `Verdict.UNKNOWN` when time runs out first."""
    try:
        finding = _analyse(trial)
    except OutOfTime:
        return Finding(Verdict.UNKNOWN, "it could not be run to its end in time", runs=trial.machine.runs)
    return finding


def _analyse(trial: Trial) -> Finding:
    base, error = _find_working(trial)
    verdict, detail = Verdict.FUNDS, ""
    if base is None:
        verdict, detail = diagnose(trial, error)
        base = trial.ample() if verdict is Verdict.ALLOWANCE else None
    if base is None:
        return Finding(verdict, detail, runs=trial.machine.runs)
    least, exact = _least_tokens(trial, base)
    if least is None:
        return _balance_dependent(trial)
    spent = trial.run(Funds(RICH, least))
    found = _least_coin(trial, least, spent)
    if spent.error is not None or found is None or found[0] > RICH // 2:
        return _balance_dependent(trial)
    coin, is_proven = found
    exact = exact and is_proven and _is_tight(trial, Funds(coin, least))
    fee, rent, keep = _parts(trial, spent, coin)
    if verdict is Verdict.FUNDS and _fails_with_what_is_there(trial, Funds(coin, least)):
        return Finding(Verdict.REVERTS, "fails with what is there, although that is enough", runs=trial.machine.runs)
    return Finding(
        verdict,
        detail,
        exact,
        coin=coin,
        have=trial.actual().coin,
        fee=fee,
        rent=rent,
        keep=keep,
        tokens=tuple(
            Taken(
                key,
                token.mint_of(trial.sources[key]),
                amount,
                trial.have(key),
                is_own_place(trial.owner, key, trial.sources[key]),
            )
            for key, amount in least.items()
            if amount
        ),
        runs=trial.machine.runs,
    )


def _find_working(trial: Trial) -> tuple[Funds | None, object]:
    """Funds with which it works. The wallet's missing accounts are put there only where it can't do without them."""
    held, missing = dict(trial.sources), trial.missing()
    opened = {key: account for key, account in missing.items() if key not in opens(trial)}
    ways = [{}, opened, missing] if opened != missing else [{}, missing]
    error: object = None
    for extra in ways if missing else [{}]:
        trial.sources = {**held, **extra}
        for funds in (trial.ample(), trial.stated(), Funds(RICH, trial.actual().tokens)):
            run = trial.run(funds)
            if run.error is None:
                return funds, None
            error = run.error if funds.tokens == trial.ample().tokens else error
            if not trial.sources:
                break
    return None, error


def _least_tokens(trial: Trial, base: Funds) -> tuple[dict[str, int] | None, bool]:
    """Of each token account, with the others as in `base`."""
    after, exact = trial.run(base).after, True
    least: dict[str, int] = {}
    for key, ample in base.tokens.items():
        left = after.get(key)  # one that was closed, or not written, has given nothing that can be seen here
        is_open = left is not None and token.is_token_account(left)
        net = ample - token.amount_of(left) if left is not None and is_open else 0

        def works(amount: int, key: str = key) -> bool:
            return trial.works(Funds(RICH, {**base.tokens, key: amount}))

        found = find_least(works, max(0, net), 0, ample)
        if found is None:
            return None, False
        least[key], exact = found.amount, exact and found.is_proven
    return least, exact


def _least_coin(trial: Trial, tokens: dict[str, int], spent: Run) -> tuple[int, bool] | None:
    """The least balance from which on it works.

    An account may end empty, or with the rent minimum, and nothing between: what empties it works, a little more
    doesn't. So the search starts at the net outflow and the minimum, and goes up where money comes back later.
    """
    net, keep = _net(trial, spent), _minimum(trial)

    def works(amount: int) -> bool:
        return trial.works(Funds(amount, tokens))

    if net <= 0 and works(0) and works(1):
        return 0, True
    have = trial.actual().coin
    least = max(0, net, _fee(trial, spent))
    found = find_least(works, _hinted(trial, tokens, least + keep), least + 1, RICH)
    if found is not None and have < found.amount and works(have):  # it takes all there is: more would be too little
        found = find_least(works, have, 0, have)
    return (found.amount, found.is_proven) if found is not None else None


def _hinted(trial: Trial, tokens: dict[str, int], guess: int) -> int:
    """A better guess: what the runtime says that a transfer lacked. Only where the search begins; runs decide."""
    for _ in range(_MOST_HINTS):
        run = trial.run(Funds(guess, tokens))
        lack = failure.lacking_lamports(run.logs) if run.error is not None else 0
        if not 0 < lack < RICH - guess:
            break
        guess += lack
    return guess


def _is_tight(trial: Trial, funds: Funds) -> bool:
    """All together works, and fails with one unit less of any."""
    if not trial.works(funds):
        return False
    if funds.coin and trial.works(Funds(funds.coin - 1, funds.tokens)):
        return False
    return not any(
        amount and trial.works(Funds(funds.coin, {**funds.tokens, key: amount - 1}))
        for key, amount in funds.tokens.items()
    )


def _fails_with_what_is_there(trial: Trial, need: Funds) -> bool:
    actual = trial.actual()
    is_enough = actual.coin >= need.coin and all(actual.tokens[key] >= need.tokens[key] for key in need.tokens)
    return is_enough and not trial.works(actual)


def _parts(trial: Trial, spent: Run, coin: int) -> tuple[int, int, int]:
    """Of the coin: fee, rent of accounts that stay, and what must be left. The rest is what the transaction takes."""
    fee = min(coin, _fee(trial, spent))
    opened = sum(
        trial.machine.rent_minimum(len(account.data))
        for key, account in spent.after.items()
        if account.lamports and account.data and trial.snapshot.accounts.get(key) is None and key not in trial.sources
    )
    minimum = _minimum(trial)
    keep = minimum if coin == max(fee, _net(trial, spent)) + minimum else 0
    return fee, min(opened, coin - fee - keep), keep


def _net(trial: Trial, spent: Run) -> int:
    """Lamports that the wallet has less, fee included; negative where it has more."""
    left = spent.after.get(trial.owner)
    return RICH - left.lamports if left is not None else 0


def _fee(trial: Trial, spent: Run) -> int:
    return spent.fee if trial.proposal.payer == trial.owner else 0


def _minimum(trial: Trial) -> int:
    return trial.machine.rent_minimum(len(trial.base.data) if trial.base is not None else 0)


def _balance_dependent(trial: Trial) -> Finding:
    return Finding(Verdict.UNKNOWN, "what it takes depends on what is there", runs=trial.machine.runs)
