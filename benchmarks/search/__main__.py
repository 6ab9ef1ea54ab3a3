"""``python -m benchmarks.search EXPERIMENT --set KEY=VALUE``."""

from benchmarks.search.attempts import main

main()
