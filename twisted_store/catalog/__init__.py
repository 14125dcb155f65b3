"""The chunk manager's durable memory: objects, placements, nodes."""
