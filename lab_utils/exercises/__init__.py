"""What the exercises of each notebook are checked with: ``check.NAME(answer)`` prints a line."""
