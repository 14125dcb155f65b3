"""The `twisted-store` command."""
