"""The peers: other job queues that do the same work beside hammerflow in one run."""
