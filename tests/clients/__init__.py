"""Client software that nobody here wrote, run against real stacks."""
