"""Train networks to dream with: a network dreams of what it has seen."""
