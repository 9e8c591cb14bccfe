"""The client of other indexes: pages, files, back-off and circuit breakers."""
