"""Linear combinations of buffers over GF(2^8): by ISA-L where it is there, else by tables."""
