"""Rewrite rules, by what they speak of. A rule gives a value to stand for the output of a node, or None."""
