"""What is measured, one library to a file."""
