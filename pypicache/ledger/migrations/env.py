"""Alembic looks for this file; the migrations are run by :func:`pypicache.ledger.migrations.upgrade`."""
