"""What is asked: the file, its models, its errors. No I/O but reading the file."""
