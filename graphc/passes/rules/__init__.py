"""Rewrite rules, by what they speak of.

A rule gives a value to stand for the only output of a node, or None where it does not fit. The value has the dtype of
the output, and its shape or one that broadcasts to it.
"""
