"""The load test of `lab serve`: `python -m benchmarks.serve RUN`."""
