"""The Stripe sandbox: the documented onramp API, for development. It shares nothing with the adapter."""
