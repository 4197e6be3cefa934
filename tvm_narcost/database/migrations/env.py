"""Alembic's entry: migrate over the connection that connection.py passes in, in its transaction."""

from alembic import context

from tvm_narcost.database.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
