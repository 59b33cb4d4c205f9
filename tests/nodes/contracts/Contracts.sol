// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.20;

// Contracts that tests deploy: each changes balances in a way of its own. Rebuild: node tests/nodes/contracts/build.js

contract Token {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        allowance[from][msg.sender] -= value;
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) internal virtual {
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}

// The sender loses one per cent more than the event says.
contract FeeToken is Token {
    function _move(address from, address to, uint256 value) internal override {
        balanceOf[from] -= value + value / 100;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}

// Balances are shares times an index; `rebase` moves everyone's balance with one event that names nobody.
contract RebasingToken {
    mapping(address => uint256) public shares;
    uint256 public index = 1e18;
    event Transfer(address indexed from, address indexed to, uint256 value);
    event Rebase(uint256 index);

    function balanceOf(address who) public view returns (uint256) {
        return (shares[who] * index) / 1e18;
    }

    function mint(address to, uint256 value) external {
        shares[to] += (value * 1e18) / index;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        uint256 moved = (value * 1e18) / index;
        shares[msg.sender] -= moved;
        shares[to] += moved;
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function rebase(uint256 to) external {
        index = to;
        emit Rebase(to);
    }
}

// Like WETH9: deposit and withdrawal move balances without a Transfer.
contract WrappedCoin is Token {
    event Deposit(address indexed to, uint256 value);
    event Withdrawal(address indexed from, uint256 value);

    function deposit() public payable {
        balanceOf[msg.sender] += msg.value;
        emit Deposit(msg.sender, msg.value);
    }

    function depositFor(address to) external payable {
        balanceOf[to] += msg.value;
        emit Deposit(to, msg.value);
    }

    function withdraw(uint256 value) external {
        balanceOf[msg.sender] -= value;
        payable(msg.sender).transfer(value);
        emit Withdrawal(msg.sender, value);
    }

    receive() external payable {
        deposit();
    }
}

// A smart wallet that anybody may drive (tests have no signatures), also used as the code of an EIP-7702 delegation.
contract SmartWallet {
    function run(address to, uint256 value, bytes calldata data) external {
        (bool ok, ) = to.call{value: value}(data);
        require(ok, "call failed");
    }

    receive() external payable {}
}

// Calls somebody else with what it is sent: hides the real parties from a transaction's from and to.
contract Relay {
    function forward(address to, bytes calldata data) external payable {
        (bool ok, ) = to.call{value: msg.value}(data);
        require(ok, "call failed");
    }

    function fail() external payable {
        revert("always");
    }
}

// Ends itself in its constructor and leaves its coins to somebody.
contract Bomb {
    constructor(address payable heir) payable {
        selfdestruct(heir);
    }
}

// Deploys smart wallets at addresses known beforehand.
contract Factory {
    function deploy(bytes32 salt) external returns (address) {
        return address(new SmartWallet{salt: salt}());
    }
}

struct Call3 {
    address target;
    bool allowFailure;
    bytes callData;
}
struct Result {
    bool success;
    bytes returnData;
}

// The two functions of Multicall3 that are used, for tests to put at its well-known address.
contract Multicall3 {
    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i; i < calls.length; i++) {
            (results[i].success, results[i].returnData) = calls[i].target.call(calls[i].callData);
            require(results[i].success || calls[i].allowFailure, "Multicall3: call failed");
        }
    }

    function getEthBalance(address who) external view returns (uint256) {
        return who.balance;
    }
}
