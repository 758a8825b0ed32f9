"""Snapshots: taken, listed, verified, restored, tried."""
