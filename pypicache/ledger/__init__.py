"""The truth: what users did, journaled in a database (SQLite or PostgreSQL)."""
