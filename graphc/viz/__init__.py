"""Pictures of graphs."""

from graphc.viz.dot import to_dot
from graphc.viz.render import render, save

__all__ = ["render", "save", "to_dot"]
