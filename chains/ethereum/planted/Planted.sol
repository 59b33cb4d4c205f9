// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

// Never deployed: eth_call state overrides put the runtime code in place for the length of one call.
// Rebuild with `node chains/ethereum/planted/build.js` (npm ci first). A failed token call reverts the whole call,
// so that no word of the answer can be mistaken for a balance.

// Calldata: 20 bytes token (0 = native), then 20 bytes per address. Returns one 32-byte balance per address.
contract BalanceScanner {
    fallback() external {
        assembly {
            let token := shr(96, calldataload(0))
            let n := div(sub(calldatasize(), 20), 20)
            mstore(0, shl(224, 0x70a08231))
            for { let i := 0 } lt(i, n) { i := add(i, 1) } {
                let account := shr(96, calldataload(add(20, mul(i, 20))))
                let out := add(0x80, mul(i, 32))
                switch token
                case 0 { mstore(out, balance(account)) }
                default {
                    mstore(4, account)
                    // a statement of its own: Yul evaluates arguments right to left, returndatasize() would come first
                    let ok := staticcall(gas(), token, 0, 36, out, 32)
                    if iszero(and(ok, gt(returndatasize(), 31))) { revert(0, 0) }
                }
            }
            return(0x80, mul(n, 32))
        }
    }
}

// Calldata: 20 bytes per address. Returns one byte per address: 1 if it has code (contracts, EIP-7702 delegations).
contract CodeScanner {
    fallback() external {
        assembly {
            let n := div(calldatasize(), 20)
            for { let i := 0 } lt(i, n) { i := add(i, 1) } {
                let account := shr(96, calldataload(mul(i, 20)))
                mstore8(add(0x80, i), gt(extcodesize(account), 0))
            }
            return(0x80, n)
        }
    }
}
