"""Pure values and functions: no Twisted, no input or output."""
