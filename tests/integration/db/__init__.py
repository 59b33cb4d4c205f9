"""The loops on a real database, with chain and onramp in memory."""
