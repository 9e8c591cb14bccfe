"""A cache and private index for Python packages."""

__version__ = "0.1.0"
