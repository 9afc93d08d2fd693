"""Pages: bounded reads that find jobs, workflows and queues, whatever the size of the tables."""
