"""Proof: chaos, injected faults and seeded bugs."""
