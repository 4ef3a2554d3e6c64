"""Where the time of a compiled function goes."""
