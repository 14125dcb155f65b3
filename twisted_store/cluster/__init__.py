"""Loops over clock, ports and pure plans."""
