"""``python -m benchmarks.compress --json FILE``."""

from benchmarks.compress.measure import main

main()
