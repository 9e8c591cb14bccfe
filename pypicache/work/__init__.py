"""The verbs: what the daemon does on its own, by the clock."""
