"""Code that `eth_call` state overrides put in place for one call; never deployed."""
