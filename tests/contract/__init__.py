"""What every filling of a Protocol must do."""
