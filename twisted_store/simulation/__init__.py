"""The product's own services on a simulated clock, network and disk."""
