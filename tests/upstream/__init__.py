"""An index server with fault switches, run as a process of its own: ``python -m tests.upstream --root DIR``.

It serves the wheels and sdists that lie in a directory, as JSON or HTML, and misbehaves on request. It is written with
:mod:`asyncio` alone and shares no code with :mod:`pypicache`, so that one mistake cannot hide in both.
"""
