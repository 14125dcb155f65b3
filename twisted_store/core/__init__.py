"""Pure rules and formats: values and `now` in, values out. No clock, no I/O, no Twisted."""
