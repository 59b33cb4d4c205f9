"""Solana: accounts by subscription and by bulk reads at a slot."""
