"""What several parts' tests share: real things, started for real."""
