"""Tests of the doorbell, over every transport, with the servers broken in every way."""
