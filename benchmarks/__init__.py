"""What the lab promises of speed, measured: ``python -m benchmarks.NAME``.

Each measures both sides in one run and prints medians and ratios; no test asserts a time.
"""

from lab_utils.core.process import prepare

prepare()  # as for a kernel of `lab run`; before torch is imported, or it comes too late
