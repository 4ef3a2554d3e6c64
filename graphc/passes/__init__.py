"""From graph to graph. One pass a file; the order is in :mod:`graphc.passes.pipeline`."""
