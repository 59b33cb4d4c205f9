"""Store, jobs and clock."""
