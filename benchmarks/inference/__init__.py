"""How fast each exported file answers."""
