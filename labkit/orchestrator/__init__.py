"""What should be and what is, brought together: labs, operations on them, the controller, checks."""
