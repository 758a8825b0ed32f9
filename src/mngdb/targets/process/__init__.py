"""What targets share that start servers themselves: as processes, in containers."""
