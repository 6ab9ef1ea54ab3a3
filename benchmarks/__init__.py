"""Speed and memory of the lab, each against a peer, as ratios measured in one run.

``python -m benchmarks.NAME [--json FILE]`` prints a table and can write it as JSON.
"""
