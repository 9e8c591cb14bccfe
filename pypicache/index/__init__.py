"""The answers: what an index lists for a project."""
