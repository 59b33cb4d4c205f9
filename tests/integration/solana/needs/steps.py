"""Instructions of the cases."""

from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_PROGRAM_ID, WRAPPED_SOL_MINT

from tests.nodes.solana import Mint

WSOL = Mint(WRAPPED_SOL_MINT, TOKEN_PROGRAM_ID, 9)
RENT_OF_TOKENS = 2_039_280
FEE = 5_000


def pay(wallet: Pubkey, to: Pubkey, lamports: int) -> Instruction:
    """Coins."""
    return transfer(TransferParams(from_pubkey=wallet, to_pubkey=to, lamports=lamports))


def pay_tokens(
    mint: Mint,
    wallet: Pubkey,
    to: Pubkey,
    amount: int,
    *,
    spender: Pubkey | None = None,
    decimals: int | None = None,
    program: Pubkey | None = None,
) -> Instruction:
    """Tokens between associated accounts, spent by the wallet unless somebody else is named."""
    return spl.transfer_checked(
        models.TransferCheckedParams(
            program_id=program or mint.program,
            source=mint.account_of(wallet),
            mint=mint.address,
            dest=mint.account_of(to),
            owner=spender or wallet,
            amount=amount,
            decimals=mint.decimals if decimals is None else decimals,
        )
    )


def open_account(mint: Mint, wallet: Pubkey, owner: Pubkey) -> Instruction:
    """An owner's associated account, at the wallet's expense, if it isn't there."""
    return spl.create_idempotent_associated_token_account(wallet, owner, mint.address, mint.program)


def close_account(mint: Mint, wallet: Pubkey) -> Instruction:
    """The wallet's own; its rent comes back."""
    account = mint.account_of(wallet)
    return spl.close_account(
        models.CloseAccountParams(program_id=mint.program, account=account, dest=wallet, owner=wallet)
    )
