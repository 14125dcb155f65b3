"""The role `storeapi`: takes files apart and puts them together."""
