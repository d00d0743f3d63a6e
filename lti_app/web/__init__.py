"""The pages of learners and teachers."""
