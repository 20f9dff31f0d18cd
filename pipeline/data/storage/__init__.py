"""Where data lie: local paths and stores, listed and opened in one place."""
