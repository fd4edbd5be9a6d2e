"""Compare runs without change with plain tasks and pyinfra: `make bench`."""
