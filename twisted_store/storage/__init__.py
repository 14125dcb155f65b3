"""The node's chunk engine."""
