"""The wire: the only package that knows HTTP status codes."""
