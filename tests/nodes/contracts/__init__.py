"""Solidity contracts that tests deploy, and their compiled code."""
