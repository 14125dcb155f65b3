"""A client of nodes, for the api and for other nodes: framed chunk transfer over treq."""
