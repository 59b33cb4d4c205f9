"""Jobs: procrastinate tasks in the same database as the rows they serve."""
