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

// Like USDC: the balance shares a word with a flag in its topmost bit; who is flagged can't pay.
contract PackedToken {
    mapping(uint256 => uint256) private unused; // so that balances are at a slot of their own
    mapping(address => uint256) private words;
    mapping(address => mapping(address => uint256)) public allowance;
    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address who) public view returns (uint256) {
        return words[who] & (type(uint256).max >> 1);
    }

    function flag(address who) external {
        words[who] |= 1 << 255;
    }

    function mint(address to, uint256 value) external {
        words[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        require(allowance[from][msg.sender] >= value, "ERC20: transfer amount exceeds allowance");
        allowance[from][msg.sender] -= value;
        require(words[from] >> 255 == 0, "Blacklistable: account is blacklisted");
        require(balanceOf(from) >= value, "ERC20: transfer amount exceeds balance");
        words[from] -= value;
        words[to] += value;
        emit Transfer(from, to, value);
        return true;
    }
}

// The balance is in the middle of a word, between two other fields.
contract MiddleToken {
    struct Account {
        uint64 since;
        uint96 amount;
        uint96 votes;
    }
    mapping(address => Account) private accounts;
    mapping(address => mapping(address => uint96)) public allowance;
    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address who) external view returns (uint256) {
        return accounts[who].amount;
    }

    function mint(address to, uint256 value) external {
        accounts[to].amount += uint96(value);
        accounts[to].since = uint64(block.timestamp);
        accounts[to].votes = 7;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = uint96(value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        allowance[from][msg.sender] -= uint96(value);
        accounts[from].amount -= uint96(value);
        accounts[to].amount += uint96(value);
        emit Transfer(from, to, value);
        return true;
    }
}

// Keeps its storage at OpenZeppelin's ERC-7201 namespace, and fails with ERC-6093's errors.
contract NamespacedToken {
    struct Storage {
        mapping(address => uint256) balances;
        mapping(address => mapping(address => uint256)) allowances;
    }
    event Transfer(address indexed from, address indexed to, uint256 value);
    error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
    error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);

    function _storage() private pure returns (Storage storage $) {
        assembly {
            $.slot := 0x52c63247e1f47db19d5ce0460030c497f067ca4cebf71ba98eeadabe20bace00
        }
    }

    function balanceOf(address who) external view returns (uint256) {
        return _storage().balances[who];
    }

    function allowance(address owner, address spender) external view returns (uint256) {
        return _storage().allowances[owner][spender];
    }

    function mint(address to, uint256 value) external {
        _storage().balances[to] += value;
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        _storage().allowances[msg.sender][spender] = value;
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        Storage storage $ = _storage();
        uint256 allowed = $.allowances[from][msg.sender];
        if (allowed < value) revert ERC20InsufficientAllowance(msg.sender, allowed, value);
        if (allowed != type(uint256).max) $.allowances[from][msg.sender] = allowed - value;
        uint256 held = $.balances[from];
        if (held < value) revert ERC20InsufficientBalance(from, held, value);
        $.balances[from] = held - value;
        $.balances[to] += value;
        emit Transfer(from, to, value);
        return true;
    }
}

interface IToken {
    function balanceOf(address who) external view returns (uint256);
    function allowance(address owner, address spender) external view returns (uint256);
    function mint(address to, uint256 value) external;
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

// Sells NFTs for a token, or for coins; asks receivers with code whether they take one.
contract Shop {
    mapping(uint256 => address) public ownerOf;
    uint256 public count;
    event Transfer(address indexed from, address indexed to, uint256 indexed id);

    function buy(address token, uint256 price) external {
        IToken(token).transferFrom(msg.sender, address(this), price);
        _give();
    }

    function buyWithCoins(uint256 amount) external payable {
        require(msg.value == amount * 0.1 ether, "Not enough ether sent");
        for (uint256 i; i < amount; i++) _give();
    }

    function buyBefore(address token, uint256 price, uint256 deadline) external {
        if (block.timestamp > deadline) revert();
        IToken(token).transferFrom(msg.sender, address(this), price);
    }

    function _give() private {
        ownerOf[++count] = msg.sender;
        emit Transfer(address(0), msg.sender, count);
        if (msg.sender.code.length > 0) {
            (bool ok, bytes memory answer) = msg.sender.call(
                abi.encodeWithSignature("onERC721Received(address,address,uint256,bytes)", this, address(0), count, "")
            );
            require(ok && bytes4(answer) == 0x150b7a02, "takes no NFT");
        }
    }
}

// Swaps at two for three; what exact-out takes is nowhere in the calldata.
contract Exchange {
    function swapExactIn(address from, address to, uint256 amount, uint256 deadline) external {
        require(block.timestamp <= deadline, "Exchange: EXPIRED");
        IToken(from).transferFrom(msg.sender, address(this), amount);
        IToken(to).mint(msg.sender, (amount * 3) / 2);
    }

    function swapExactOut(address from, address to, uint256 amount, uint256 most, uint256 deadline) external {
        require(block.timestamp <= deadline, "Exchange: EXPIRED");
        uint256 taken = (amount * 2) / 3 + 7;
        require(taken <= most, "Exchange: EXCESSIVE_INPUT");
        IToken(from).transferFrom(msg.sender, address(this), taken);
        IToken(to).mint(msg.sender, amount);
    }

    // Takes more than it keeps, and gives the rest back.
    function takeAndReturn(address token, uint256 amount, uint256 back) external {
        IToken(token).transferFrom(msg.sender, address(this), amount);
        IToken(token).transfer(msg.sender, back);
    }

    function zap(address one, uint256 first, address two, uint256 second) external payable {
        require(msg.value > 0, "no coins");
        IToken(one).transferFrom(msg.sender, address(this), first);
        IToken(two).transferFrom(msg.sender, address(this), second);
    }

    // Takes whatever is there.
    function sweep(address token) external {
        IToken(token).transferFrom(msg.sender, address(this), IToken(token).balanceOf(msg.sender));
    }

    // Takes nothing, but asks for much to be there.
    function gate(address token, uint256 amount) external view {
        require(IToken(token).balanceOf(msg.sender) >= amount, "hold more");
    }
}

// The part of Permit2 that moves tokens by a standing allowance, with its storage layout.
contract Permits {
    struct Allowed {
        uint160 amount;
        uint48 expiration;
        uint48 nonce;
    }
    mapping(address => mapping(uint256 => uint256)) public nonceBitmap;
    mapping(address => mapping(address => mapping(address => Allowed))) public allowance;
    error AllowanceExpired(uint256 deadline);
    error InsufficientAllowance(uint256 amount);

    function approve(address token, address spender, uint160 amount, uint48 expiration) external {
        Allowed storage allowed = allowance[msg.sender][token][spender];
        (allowed.amount, allowed.expiration) = (amount, expiration);
    }

    function transferFrom(address from, address to, uint160 amount, address token) external {
        Allowed storage allowed = allowance[from][token][msg.sender];
        if (block.timestamp > allowed.expiration) revert AllowanceExpired(allowed.expiration);
        if (amount > allowed.amount) revert InsufficientAllowance(allowed.amount);
        allowed.amount -= amount;
        IToken(token).transferFrom(from, to, amount);
    }
}

contract PermitShop {
    function buy(address permits, address token, uint160 price) external {
        Permits(permits).transferFrom(msg.sender, address(this), price, token);
    }
}

// Says that everybody has, and that every transfer moves, more than there is.
contract AbsurdToken {
    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address) external pure returns (uint256) {
        return 1 << 255;
    }

    function transfer(address to, uint256) external returns (bool) {
        emit Transfer(msg.sender, to, 1 << 255);
        return true;
    }
}

// Never ends by itself.
contract EndlessToken {
    uint256 private count;

    function balanceOf(address) external view returns (uint256) {
        while (true) {
            if (gasleft() == count) return 1;
        }
        return 0;
    }

    function transfer(address, uint256) external returns (bool) {
        while (true) count++;
        return true;
    }
}

// Stands in for an OP-stack network's oracle of layer 1 fees.
contract GasPriceOracle {
    function getL1FeeUpperBound(uint256 size) external pure returns (uint256) {
        return size * 1e9;
    }

    function getOperatorFee(uint256 gas) external pure returns (uint256) {
        return gas * 3 + 5;
    }
}

// Reports a balance that is another at each question about it, by the gas that is left.
contract MoodyToken {
    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address) external view returns (uint256) {
        return gasleft() % 1000;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        emit Transfer(msg.sender, to, value * 1000);
        return true;
    }
}

// Hides what it is given to believe: who is given plenty seems to have little.
contract ShyToken {
    mapping(address => uint256) private held;

    function balanceOf(address who) external view returns (uint256) {
        return held[who] == 1 << 95 ? 7 : held[who];
    }

    function transfer(address to, uint256 value) external returns (bool) {
        held[msg.sender] -= value;
        held[to] += value;
        return true;
    }
}

// A token on whose every path there is a crowd of others.
contract CrowdToken {
    event Transfer(address indexed from, address indexed to, uint256 value);

    function transfer(address to, uint256 value) external returns (bool) {
        for (uint160 i = 1; i < 200; i++) {
            (bool ok, ) = address(uint160(to) + i).call(
                abi.encodeWithSignature("transferFrom(address,address,uint256)", msg.sender, to, i)
            );
            ok;
        }
        emit Transfer(msg.sender, to, value);
        return true;
    }
}

// Takes coins at its making.
contract Deposit {
    constructor() payable {
        require(msg.value >= 1 ether, "too little");
    }
}
