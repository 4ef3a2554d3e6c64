"""Programs that make what is checked in, and what the documentation is built with."""
