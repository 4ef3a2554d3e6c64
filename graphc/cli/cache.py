"""``graphc cache``: kernels, programs and plans on disk."""

from __future__ import annotations

import time

import click

from graphc.cli.output import json_option, write_json
from graphc.runtime.jit.cache import KINDS, KernelCache, default_folder
from graphc.viz.text import bytes_text

__all__ = ["command"]


@click.group("cache")
def command() -> None:
    """Look after the cache: compiled kernels, programs and plans, under $GRAPHC_CACHE_DIR or ~/.cache/graphc."""


@command.command()
@json_option
def info(as_json: bool) -> int:
    """Tell the folder, how many kernels, programs and plans it holds, their size and age."""
    cache = KernelCache(default_folder())
    entries = cache.entries()
    times = [entry.modified for entry in entries]
    counts = {f"{kind}s": sum(entry.kind == kind for entry in entries) for kind in KINDS}
    data = {
        "folder": str(cache.path),
        "problem": cache.problem,
        **counts,
        "bytes": sum(entry.size for entry in entries),
        "oldest": min(times, default=None),
        "newest": max(times, default=None),
    }
    if as_json:
        write_json(data)
        return int(cache.problem is not None)
    click.echo(f"folder    {cache.path}")
    for kind, count in counts.items():
        click.echo(f"{kind:<9} {count}")
    click.echo(f"size      {bytes_text(sum(entry.size for entry in entries))}")
    if times:
        click.echo(f"age       {_age(max(times))} to {_age(min(times))}")
    return _problem(cache)


@command.command()
@json_option
def verify(as_json: bool) -> int:
    """Check the checksum of every entry; the exit code is 1 if a file is damaged.

    A damaged file is never loaded: the next run that needs it makes it again.
    """
    cache = KernelCache(default_folder())
    damaged = [str(path) for key in cache.verify() for path in cache.path.glob(f"{key}.*")]
    count = len(cache.entries())
    if as_json:
        data = {"folder": str(cache.path), "problem": cache.problem, "entries": count, "damaged": damaged}
        write_json(data)
        return int(bool(damaged or cache.problem))
    for path in damaged:
        click.echo(f"damaged: {path}")
    click.echo(f"{count} entries, {len(damaged)} damaged" + ("; graphc cache clear removes them" if damaged else ""))
    return int(bool(_problem(cache) or damaged))


@command.command()
@json_option
def clear(as_json: bool) -> int:
    """Remove all entries; they are made again when they are needed."""
    cache = KernelCache(default_folder())
    removed = cache.clear()
    if as_json:
        write_json({"folder": str(cache.path), "problem": cache.problem, "removed": removed})
        return int(cache.problem is not None)
    click.echo(f"removed {removed} files from {cache.path}")
    return _problem(cache)


def _problem(cache: KernelCache) -> int:
    """Tell why the cache is not used, and give the exit code."""
    if cache.problem is not None:
        click.echo(f"graphc: {cache.problem}", err=True)
    return int(cache.problem is not None)


def _age(moment: float) -> str:
    seconds = max(0.0, time.time() - moment)
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
