"""What stands around a launch: grades, the class, deep linking, registration."""
