// Compiles Planted.sol to the *.hex files that the package ships. Run from the checkout: node chains/ethereum/needs/planted/build.js
// evmVersion "paris": without PUSH0, so that the code runs on every network.
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const source = fs.readFileSync(path.join(__dirname, "Planted.sol"), "utf8");
const input = {
  language: "Solidity",
  sources: { "Planted.sol": { content: source } },
  settings: {
    evmVersion: "paris",
    optimizer: { enabled: true, runs: 1000000 },
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter((error) => error.severity === "error");
if (errors.length) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
for (const [name, contract] of Object.entries(output.contracts["Planted.sol"])) {
  fs.writeFileSync(path.join(__dirname, `${name}.hex`), contract.evm.deployedBytecode.object + "\n");
}
