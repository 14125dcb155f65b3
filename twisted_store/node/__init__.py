"""The role `storenode`: keeps chunks."""
