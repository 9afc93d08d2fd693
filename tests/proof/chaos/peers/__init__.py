"""The peers under chaos: other job queues beside hammerflow, the same load and the same kills."""
