// Compiles Contracts.sol to artifacts.json. Run from the checkout: node tests/nodes/contracts/build.js
const fs = require("fs");
const path = require("path");
const solc = require("solc");

const source = fs.readFileSync(path.join(__dirname, "Contracts.sol"), "utf8");
const input = {
  language: "Solidity",
  sources: { "Contracts.sol": { content: source } },
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 200 },
    metadata: { appendCBOR: false, bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input)));
const errors = (output.errors || []).filter((error) => error.severity === "error");
if (errors.length) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}
const artifacts = {};
for (const [name, contract] of Object.entries(output.contracts["Contracts.sol"])) {
  if (!contract.evm.bytecode.object) continue;
  artifacts[name] = { create: "0x" + contract.evm.bytecode.object, runtime: "0x" + contract.evm.deployedBytecode.object };
}
fs.writeFileSync(path.join(__dirname, "artifacts.json"), JSON.stringify(artifacts, null, 1) + "\n");
