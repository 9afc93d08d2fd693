"""The child process: runs the bodies of jobs."""
