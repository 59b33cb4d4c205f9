"""Alembic's entry: on the connection that `watcher.store.migrate` hands over, inside its transaction."""

from alembic import context

from watcher.store.tables import metadata


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Procrastinate's tables are its own business."""
    del parents
    return not (kind == "table" and (name or "").startswith("procrastinate_"))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_name=include_name,
    transactional_ddl=True,
)
context.run_migrations()
