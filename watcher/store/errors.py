"""What can go wrong between us and the store.

StoreError
├── StoreUnavailable    PostgreSQL is not answering, or not in time: again later
├── StoreInUse          another daemon owns this data directory
├── SchemaTooNew        the database was written by a newer release
└── ShardsDiffer        other replicas are running with another number of shards
"""


class StoreError(Exception):
    """Base. Messages are sentences for an operator; none holds a URL or a password."""


class StoreUnavailable(StoreError):
    """No answer, no connection, or none in time. Whether a commit got through is not known."""


class StoreInUse(StoreError):
    """The data directory belongs to a daemon that is alive."""


class SchemaTooNew(StoreError):
    """The database has a schema that only a newer release knows."""


class ShardsDiffer(StoreError):
    """Replicas that are running divide a network into another number of shards."""
