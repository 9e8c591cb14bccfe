"""More than one process on one listening socket."""
