"""Who is asking: passwords, login tokens, API tokens."""
