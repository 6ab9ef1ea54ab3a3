"""`python -m benchmarks.serve RUN`."""

from benchmarks.serve.load import main

main()
