"""Tests of the signatures of webhooks, and of requests to addresses that strangers chose."""
