"""Speed of graphc against other systems, measured side by side on the machine at hand: `python -m benchmarks`."""
