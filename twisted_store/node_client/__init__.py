"""The api's client of a node: framed chunk transfer over treq."""
