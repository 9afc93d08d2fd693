"""Faults that need root or packages of the system: disks, clocks, poolers and networks."""
