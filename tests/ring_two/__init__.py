"""Ring two: the real daemon as a process, between a faulty upstream and the real clients."""
