"""A file store: objects cut into five chunks and kept on different storage nodes."""

__version__ = "0.1.0"
