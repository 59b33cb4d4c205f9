"""The operator's commands for the store, each beside a running daemon or without one."""
