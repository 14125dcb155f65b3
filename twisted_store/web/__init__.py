"""The HTTP edge shared by both roles: streaming requests, ranges, conditions, answers."""
