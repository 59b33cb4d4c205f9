"""What can go wrong between us and the store.

StoreError
├── StoreUnavailable    PostgreSQL is not answering, or not in time: again later
│   └── StoreReplaced   it answers, and is not the store that this daemon works on
├── StoreInUse          another daemon owns this data directory
├── StoreOccupied       what was to be written has a place that is taken
├── BackupUnusable      a file is no backup, or not whole
├── SchemaTooNew        the database was written by a newer release
└── ShardsDiffer        other replicas are running with another number of shards
"""


class StoreError(Exception):
    """Base. Messages are sentences for an operator; none holds a URL or a password."""


class StoreUnavailable(StoreError):
    """No answer, no connection, or none in time. Whether a commit got through is not known."""


class StoreReplaced(StoreUnavailable):
    """Another database, an older state of ours, or a schema of another release: nothing is written to it."""


class StoreInUse(StoreError):
    """The data directory belongs to a daemon that is alive."""


class StoreOccupied(StoreError):
    """The database has content already."""


class BackupUnusable(StoreError):
    """The file is no backup of ours, is damaged, or does not hold what it says."""


class SchemaTooNew(StoreError):
    """The database has a schema that only a newer release knows."""


class ShardsDiffer(StoreError):
    """Replicas that are running divide a network into another number of shards."""
