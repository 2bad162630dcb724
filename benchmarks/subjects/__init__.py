"""What is measured, a library a file."""
