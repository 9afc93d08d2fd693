"""What a process of hammerflow sets up before all else: its signals and its standard streams."""
