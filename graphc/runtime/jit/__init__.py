"""From kernel source to machine code in memory: the compiler, the cache on disk, the loader."""
